import json
import re
import shutil

import pytest

OPTIONS = ("--scores", "MonteCarlo", "--width", 4, "--depth", 1, "--steps", 3, "--subset-per-class", 2)


@pytest.fixture(scope="module")
def utility_run(tiny_npz, tmp_path_factory, goldore_in):
    folder = tmp_path_factory.mktemp("utility")
    shutil.copy(tiny_npz, folder)
    done = goldore_in(folder, "score", "tiny.npz", *OPTIONS, "--utility-trials", 40, "--out", "u.h5")
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture
def utility_file(utility_run, tmp_path):
    return shutil.copy(utility_run[0] / "u.h5", tmp_path)


def sentence(done, code):
    assert done.returncode == code
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def test_score_says_what_it_does_and_how_far_to_trust_it(utility_run):
    _, done = utility_run
    assert "utility trials: 2 of each class, 3 steps, evaluated on 12 test images" in done.stderr
    assert "every sample is drawn once in 10 trials" in done.stderr
    assert "MonteCarlo of 40 trials: reliability" in done.stdout
    assert "signal share" in done.stdout
    assert "how many trials it takes cannot be told yet" in done.stdout  # the tiny run is noise
    assert "next: goldore extend u.h5 --utility-trials 80" in done.stdout
    assert re.search(r"warning: the (ranking by|reliability of) MonteCarlo .*noise", done.stderr)


def test_inspect_shows_the_utility_trials(goldore, utility_file):
    shown = goldore("inspect", utility_file).stdout
    assert "utility trials: 40 done, base seed 0" in shown
    assert "accuracy, estimated by in-minus-out" in shown
    assert "variance is between classes" in shown
    summary = json.loads(goldore("inspect", utility_file, "--json").stdout)
    assert summary["trials"]["utility"]["done"] == 40
    assert summary["scores"]["MonteCarlo"]["trials_needed"].keys() == {"0.5", "0.8"}


def test_estimate_changes_the_score_without_training(goldore, utility_file):
    done = goldore("estimate", utility_file, "--outcome", "logprob", "--estimator", "ridge", "--out", "r.h5")
    assert done.returncode == 0, done.stderr
    assert "MonteCarlo by logprob, ridge, in nat" in done.stdout
    assert "exists already" in sentence(goldore("estimate", utility_file, "--out", "r.h5"), 2)


def test_estimate_needs_utility_trials(goldore, score_file):
    assert "has no utility trials" in sentence(goldore("estimate", score_file), 1)


def test_merge_joins_parts(goldore, utility_file, data_file):
    for name, numbers in (("a.h5", "0:25"), ("b.h5", "25:40")):
        goldore("score", data_file, *OPTIONS, "--trial-range", numbers, "--out", name)
    done = goldore("merge", "a.h5", "b.h5", "--out", "m.h5")
    assert "2 files merged, 40 trials, written to m.h5" in done.stdout
    merged, whole = (json.loads(goldore("inspect", each, "--json").stdout) for each in ("m.h5", utility_file))
    assert merged["trials"]["utility"].pop("seconds") > 0
    assert whole["trials"]["utility"].pop("seconds") > 0
    assert merged["trials"] == whole["trials"]


def test_an_unreliable_ranking_is_warned_of_and_refused_on_demand(goldore, utility_file):
    arguments = ("prune", utility_file, "--criterion", "MonteCarlo_small", "--keep-ratio", "0.2")
    done = goldore(*arguments)
    assert done.returncode == 0
    assert "warning" in done.stderr
    assert "two halves of the trials agree on" in done.stdout
    refused = sentence(goldore(*arguments, "--min-reliability", "0.99", "--out", "no.npy"), 1)
    assert "MonteCarlo" in refused
    assert "--min-reliability asks for 0.99" in refused


@pytest.mark.parametrize(
    "options",
    [
        ("--until-reliability", 2),
        ("--until-reliability", 0.5, "--utility-trials", 5),
        ("--max-time", "soon"),
        ("--max-time", "-5m"),
        ("--trial-range", "5"),
        ("--trial-range", "5:5"),
        ("--outcome", "f1"),
        ("--estimator", "mean"),
        ("--eval-split", "train"),
        ("--utility-trials", 0),
        ("--max-trials", 5),
        ("--steps", 0),
        ("--trial", "fake"),
        ("--distill-method", "dm"),
        ("--trial", "distill", "--distill-method", "mtt"),
        ("--kernel-fit", "ridge"),
        ("--trial", "kernel", "--kernel-networks", 0),
        ("--trial", "kernel", "--common-init", 2),
        ("--trial", "kernel", "--distill-method", "dm"),
        ("--common-init", 0),
        ("--trials", 5),
        ("--epochs", 3),
        ("--scores", "LossInit", "--max-time", "5m"),
    ],
    ids=str,
)
def test_wrong_options_end_in_a_sentence(goldore, data_file, options, snapshot):
    before = snapshot()
    assert "error: " in sentence(goldore("score", data_file, *OPTIONS, *options), 2)
    assert snapshot() == before


class TestImport:
    def test_a_published_list(self, goldore, data_file, tmp_path):
        values = [0.0] + [0.5 + 0.01 * (position % 3) for position in range(59)]
        (tmp_path / "tiny_MonteCarlo.json").write_text(json.dumps(values))
        done = goldore("import", "tiny_MonteCarlo.json", "--dataset", data_file)
        assert done.returncode == 0, done.stderr
        shown = goldore("inspect", "scores_cache/tiny_MonteCarlo.h5").stdout
        assert "unknown, since no trials are stored" in shown
        assert "1 sample without a score" in shown
        pruned = goldore(
            "prune",
            "scores_cache/tiny_MonteCarlo.h5",
            "--criterion",
            "MonteCarlo_small",
            "--keep-per-class",
            2,
            "--missing",
            "drop",
        )
        assert "the reliability of MonteCarlo is not known" in " ".join(pruned.stderr.split())

    def test_labels_alone(self, goldore, tmp_path):
        (tmp_path / "X_LossInit.json").write_text("[1.5, 2.5, null, 0]")
        (tmp_path / "labels.txt").write_text("0\n1\n1\n0\n")
        done = goldore("import", "X_LossInit.json", "--labels", "labels.txt")
        assert done.returncode == 0, done.stderr
        assert "X (train): 4 samples, 2 classes" in goldore("inspect", "scores_cache/X_LossInit.h5").stdout

    @pytest.mark.parametrize("text", ["", "{}", "[[1]]", '["a"]', "[1, 2]", "[1e999]"])
    def test_what_is_no_list_of_scores(self, goldore, tmp_path, text):
        (tmp_path / "X_LossInit.json").write_text(text)
        (tmp_path / "labels.txt").write_text("0\n1\n1\n0\n")
        sentence(goldore("import", "X_LossInit.json", "--labels", "labels.txt"), 1)
        assert not list(tmp_path.rglob("*.h5"))


def test_a_run_says_why_it_stopped_and_what_is_missing(goldore, data_file):
    """On data where one sample teaches its class, so that the reliability rises soon."""
    options = ("--scores", "MonteCarlo", "--width", 8, "--depth", 1, "--steps", 20, "--lr", 0.1)
    more = ("--subset-per-class", 1, "--outcome", "logprob", "--out", "u.h5")
    started = goldore("score", data_file, *options, *more, "--utility-trials", 10)
    assert "its reliability can be told when every sample has been drawn twice" in started.stdout
    assert "samples not drawn yet" in started.stdout
    capped = goldore("score", data_file, *options, *more, "--until-reliability", 0.999, "--max-trials", 120)
    assert "stopped by --max-trials before the reliability of 0.999 was reached" in capped.stderr
    reached = goldore("score", data_file, *options, *more, "--until-reliability", 0.01)
    assert "the reliability of 0.01 was there already" in reached.stderr
    timed = goldore("score", data_file, *options, *more, "--utility-trials", 5000, "--max-time", "1s")
    assert "stopped by --max-time at " in timed.stderr


def test_the_pilot_is_told_of_once_and_with_the_utility_trials(goldore, data_file, tmp_path):
    options = [each for each in OPTIONS if each not in ("--scores", "MonteCarlo", "--subset-per-class", 2)]
    scores = ("--scores", "LossInit,MonteCarlo", "--epochs", 1, "--trials", 1, "--utility-trials", 8)
    done = goldore("score", data_file, *options, *scores, "--out", tmp_path / "pilot.h5")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("pilot accuracy") == 1
    told = " ".join(done.stderr.split())
    assert told.index("1 trial of 1 epoch") < told.index("pilot accuracy") < told.index("utility trials:")


def test_trials_that_wait_in_a_journal_are_told_of(goldore, utility_file, tmp_path):
    file = tmp_path / "waiting.h5"
    shutil.copy(utility_file, file)
    (tmp_path / "waiting.h5.journal").write_bytes(b"trials")
    for command in (
        ("inspect", file),
        ("prune", file, "--criterion", "Random", "--keep-ratio", "0.5", "--out", tmp_path / "k.npy"),
    ):
        done = goldore(*command)
        assert done.returncode == 0, done.stderr
        assert "warning: waiting.h5.journal beside it holds finished trials" in " ".join(done.stderr.split())


KERNEL = ("--scores", "KernelUtility", "--width", 4, "--depth", 1, "--kernel-networks", 2)


def test_kernel_utility_is_a_score_like_any_other(goldore, data_file):
    done = goldore("score", data_file, *KERNEL, "--trials", 3, "--out", "k.h5")
    assert done.returncode == 0, done.stderr
    assert "kernel utility: the nearest of 1 sample of each class" in done.stderr
    assert "3 groups of 2 untrained networks" in done.stderr
    shown = goldore("inspect", "k.h5").stdout
    assert "kernel trials: 3 groups of untrained networks, base seed 0" in shown
    assert "KernelUtility: high = useful" in shown
    summary = json.loads(goldore("inspect", "k.h5", "--json").stdout)
    assert summary["trials"]["kernel"]["done"] == 3
    assert summary["trials"]["kernel"]["recipe"]["subset_per_class"] == 1
    pruned = goldore("prune", "k.h5", "--criterion", "KernelUtility_small", "--keep-ratio", "0.5")
    assert pruned.returncode == 0, pruned.stderr
    again = goldore("score", data_file, *KERNEL, "--trials", 3, "--out", "k.h5")
    assert "nothing to do: all groups are there already" in again.stderr
    assert "kernel trials  3 usable" in goldore("verify", "k.h5").stdout


def test_kernel_trials_are_told_as_such(goldore, data_file):
    options = ("--scores", "MonteCarlo", "--width", 4, "--depth", 1, "--trial", "kernel")
    done = goldore("score", data_file, *options, "--utility-trials", 30, "--out", "u.h5")
    assert done.returncode == 0, done.stderr
    assert "50 steps of a linear head on 16 untrained networks" in done.stderr
    assert "16 untrained networks look at all images ..." in done.stderr
    assert "a linear head on 16 untrained networks: 50 steps" in goldore("inspect", "u.h5").stdout
    ridge = goldore(
        "score", data_file, *options, "--kernel-fit", "ridge", "--utility-trials", 30, "--out", "r.h5"
    )
    assert "a ridge regression on 16 untrained networks" in ridge.stderr
    assert "a ridge regression on 16 untrained networks" in goldore("inspect", "r.h5").stdout


def test_trained_trials_tell_how_well_a_utility_without_training_agrees(goldore, data_file):
    done = goldore("score", data_file, *KERNEL, "--check-trials", 60, "--steps", 5, "--out", "k.h5")
    assert done.returncode == 0, done.stderr
    assert "60 trained trials to compare with" in done.stderr
    assert "5 steps, evaluated on" in done.stderr
    assert "agreement of KernelUtility: " in done.stdout
    shown = goldore("inspect", "k.h5").stdout
    assert "trained trials to compare with: 60 done, base seed 0" in shown
    assert "agreement" in shown
    summary = json.loads(goldore("inspect", "k.h5", "--json").stdout)
    assert summary["trials"]["check"]["done"] == 60
    assert summary["scores"]["KernelUtility"]["agreement"]["trials"] == 60
    again = goldore("score", data_file, *KERNEL, "--check-trials", 60, "--steps", 5, "--out", "k.h5")
    assert "nothing to train: they are there already" in again.stderr
    assert "check trials" in goldore("verify", "k.h5").stdout
    alone = sentence(goldore("score", data_file, "--scores", "LossInit", "--check-trials", 60), 2)
    assert "--check-trials belongs to MonteCarlo or KernelUtility" in alone


def test_who_prunes_for_another_number_of_images_is_warned(goldore, data_file):
    assert goldore("score", data_file, *KERNEL, "--trials", 2, "--out", "k.h5").returncode == 0
    pruning = ("prune", "k.h5", "--criterion", "KernelUtility_small", "--keep-ratio", "0.5", "--for", "dm")
    other = goldore(*pruning, "--ipc", 10, "--batch-real", 4, "--out", "a.npy")
    told = " ".join(other.stderr.split())
    assert "warning: KernelUtility is about 1 sample of each class and not 10;" in told
    assert "see what goldore study says" in told
    same = goldore(*pruning, "--ipc", 1, "--batch-real", 4, "--out", "b.npy")
    assert same.returncode == 0, same.stderr
    assert "is about" not in same.stderr
    random = ("prune", "k.h5", "--criterion", "Random", "--keep-ratio", "0.5", "--for", "dm", "--ipc", 10)
    assert "is about" not in goldore(*random, "--batch-real", 4, "--out", "c.npy").stderr


def test_shrunk_scores_say_what_they_were_drawn_towards(goldore, data_file):
    both = ("--scores", "KernelUtility,MonteCarlo", "--width", 4, "--depth", 1, "--kernel-networks", 2)
    trials = ("--trials", 2, "--utility-trials", 60, "--steps", 3, "--subset-per-class", 1)
    done = goldore("score", data_file, *both, *trials, "--estimator", "shrunk", "--out", "s.h5")
    assert done.returncode == 0, done.stderr
    estimated = goldore("estimate", "s.h5", "--estimator", "shrunk", "--outcome", "margin")
    assert "MonteCarlo by margin, shrunk, in nat" in estimated.stdout
    assert "the file's other scores predict" in estimated.stdout
    assert "the file's other scores predict" in goldore("inspect", "s.h5").stdout
    alone = goldore("score", data_file, *OPTIONS, "--estimator", "shrunk", "--out", "a.h5")
    assert "--estimator shrunk needs KernelUtility or losses in the same file" in sentence(alone, 2)


@pytest.mark.parametrize("options", [("--batch-size", 8), ("--kernel-fit", "ridge", "--steps", 5)], ids=str)
def test_kernel_trials_refuse_what_they_have_no_use_for(goldore, data_file, options, snapshot):
    before = snapshot()
    heads = ("--scores", "MonteCarlo", "--trial", "kernel", "--width", 4, "--depth", 1)
    done = goldore("score", data_file, *heads, *options)
    assert "does nothing in kernel trials" in sentence(done, 2)
    assert snapshot() == before


@pytest.mark.parametrize(
    "options",
    [
        ("--lr", 0.1),
        ("--ensemble-size", 2),
        ("--compile", "sometimes"),
        ("--steps", 5),
        ("--epochs", 5),
        ("--outcome", "margin"),
        ("--utility-trials", 5),
        ("--trial", "kernel"),
        ("--subset-per-class", 0),
        ("--eval-split", "train"),
    ],
    ids=str,
)
def test_kernel_utility_refuses_what_it_has_no_use_for(goldore, data_file, options, snapshot):
    before = snapshot()
    assert "error: " in sentence(goldore("score", data_file, *KERNEL, *options), 2)
    assert snapshot() == before
