import inspect
import subprocess
import sys
from typing import get_args

import pytest

from goldore.networks.config import ConvNetConfig
from goldore.runs.scoring import DEFAULT_TRIALS
from goldore.trials import LossRecipe
from goldore.trials.presets import PRESETS

scoring = pytest.importorskip("goldore_cli.scoring", reason="needs an installation, not only a checkout")


def test_the_options_defaults_are_those_of_the_library():
    parameters = inspect.signature(scoring.score_command).parameters
    standard = PRESETS["standard"]
    assert (standard.trials, standard.epochs) == (DEFAULT_TRIALS, LossRecipe().epochs)
    assert standard.width == ConvNetConfig().width
    for field, value in vars(LossRecipe()).items():
        if field not in ("network", "epochs"):
            assert parameters[field].default == value, field
    for field, value in vars(ConvNetConfig()).items():
        told = get_args(parameters[field].annotation)[1].help
        assert parameters[field].default is None  # another family may not have it
        assert value is None or f"{value} (default)" in told or f"(default: {value}" in told, field
    for field, value in (("trials", standard.trials), ("epochs", standard.epochs)):
        assert parameters[field].default is None  # a preset may say otherwise
        assert f"(default: {value}, or as --preset says)" in get_args(parameters[field].annotation)[1].help


def test_the_progress_after_a_diverged_trial_goes_forward(monkeypatch, capsys):
    from types import SimpleNamespace as Space

    import numpy as np

    from goldore.training.progress import Progress

    watching = pytest.importorskip("goldore_cli.watching")
    clock = iter(range(0, 100_000, 50))
    monkeypatch.setattr(watching.time, "monotonic", lambda: next(clock))
    watcher = watching.ScreenWatcher()
    plan = Space(trials=2, there=0, epochs=4, processes=1, images=400)
    watcher._course = watching.COURSES["loss"](plan, watching.err())
    trials = [Space(number=0), Space(number=1)]
    watcher.started(trials[:1])
    watcher.progressed(Progress(epoch=2, images=150, total_images=400, loss=2.0))
    watcher.finished([Space(trial=trials[0], failed=True, train_loss=np.full(4, np.nan))])
    watcher.started(trials[1:])
    watcher.progressed(Progress(epoch=1, images=10, total_images=400, loss=2.0))
    lines = [each for each in capsys.readouterr().err.splitlines() if "images/s" in each]
    assert [each.split(",")[1].split(":")[1].strip() for each in lines] == ["19%", "51%"]
    assert "-" not in lines[1].split("images/s")[0].split("%")[1]


_INTERRUPTED_IN_EXEC = """
import sys
import goldore_cli.app

def app(**_):
    try:
        exec("raise KeyboardInterrupt")  # as in an import that compiles code
    except KeyboardInterrupt:
        sys.exit(130)

goldore_cli.app.app = app
goldore_cli.app.main()
"""


def test_an_interrupt_during_an_import_ends_with_130(tmp_path):
    (tmp_path / "interrupted.py").write_text(_INTERRUPTED_IN_EXEC)
    ended = subprocess.run([sys.executable, "-m", "interrupted"], cwd=tmp_path, check=False)
    assert ended.returncode == 130
