"""Arguments in the library's sentences: `keep_ratio` there, --keep-ratio on the command line."""

import pytest
import typer

from cli import screen
from cli.app import app
from goldore import load_scores, prune
from goldore.errors import UsageError


@pytest.fixture
def speaks_as():
    """Let a command be the one that runs."""
    group = typer.main.get_command(app)

    def be(command):
        context = typer.Context(group)
        context.invoked_subcommand = command
        screen.learn_options(context)

    yield be
    screen._command_line.clear()


@pytest.mark.parametrize(
    ("command", "text", "said"),
    [
        ("prune", "`keep_ratio` is 2; use `repository`.", "--keep-ratio is 2; use --for."),
        ("plug", "`repository` is unknown.", "REPO is unknown."),
        ("score", "`compile_mode` or `max_seconds`", "--compile or --max-time"),
        ("score", "read `dataset`", "read DATASET"),
        ("inspect", "give `dataset`, `folder`", "give --dataset, --figures"),
        ("export", "give `folder`", "give DIR"),
        ("estimate", "choose another `out`", "choose another --out"),
        ("map-index", "`to` and `out`", "--to and --out"),
        (
            "verify",
            "a `keep_ratio` or an `out` of other commands",
            "a --keep-ratio or an --out of other commands",
        ),
        ("prune", "~/`x`/`Keep`/`out dir`/``/`", "~/`x`/`Keep`/`out dir`/``/`"),
        ("prune", "`keep_ratio", "`keep_ratio"),
    ],
)
def test_names_are_spelled_as_the_running_command_does(speaks_as, command, text, said):
    speaks_as(command)
    assert screen.spelled(text) == said
    assert screen.spelled(said) == said


def test_the_same_mistake_in_both_languages(goldore_here, tiny_scores):
    criterion = "LossConverge_large"
    with pytest.raises(UsageError) as caught:
        prune(load_scores(tiny_scores), criterion, keep_ratio=2)
    assert str(caught.value) == "`keep_ratio` is 2; it must be from 0 to 1."
    done = goldore_here("prune", tiny_scores, "--criterion", criterion, "--keep-ratio", 2)
    assert done.exit_code == UsageError.exit_code
    assert done.stderr == "error: --keep-ratio is 2; it must be from 0 to 1.\n"
