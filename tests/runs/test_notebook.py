"""A run in a notebook, with a display that remembers what it was shown."""

import sys
from types import SimpleNamespace

import goldore
from goldore.runs.notebook import NotebookWatcher, default_watcher
from goldore.runs.watching import Watcher
from tests.conftest import make_dataset

RECIPE = goldore.LossRecipe(epochs=2, network=goldore.ConvNetConfig(depth=1, width=4))


class Display:
    def __init__(self):
        self.shown = []

    def __call__(self, page, *, display_id):
        assert display_id
        self.shown.append(page)
        return SimpleNamespace(update=self.shown.append)


def test_it_shows_each_trial_and_what_is_left(tmp_path):
    display = Display()
    goldore.score(
        make_dataset(),
        trials=2,
        recipe=RECIPE,
        out=tmp_path / "s.h5",
        device="cpu",
        watcher=NotebookWatcher(display),
    )
    last = repr(display.shown[-1])
    assert "corners: 2 trials on CPU" in last
    assert "trial 1: training loss" in last
    assert "trial 2: training loss" in last
    assert "done in" in last
    assert any("1 of 2 trials done" in repr(page) and "left" in repr(page) for page in display.shown)


def test_what_is_shown_is_no_markup():
    display = Display()
    watcher = NotebookWatcher(display)
    watcher.preparing("<b>bold</b>", 0.5)
    assert "&lt;b&gt;bold&lt;/b&gt;: 50%" in display.shown[-1]._repr_html_()


def test_a_dry_run_says_what_it_would_take(tmp_path):
    display = Display()
    goldore.score(
        make_dataset(),
        trials=2,
        recipe=RECIPE,
        out=tmp_path / "s.h5",
        device="cpu",
        watcher=NotebookWatcher(display),
        dry_run=True,
    )
    assert "2 trials would take about" in repr(display.shown[-1])
    assert list(tmp_path.iterdir()) == []


def test_only_a_notebook_has_it(monkeypatch):
    assert type(default_watcher()) is Watcher
    shell = SimpleNamespace(kernel=None)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=Display()))
    assert isinstance(default_watcher(), NotebookWatcher)


def test_trials_that_train_together_count_together(monkeypatch):
    """Half of a group of four is two trials: half of the time is left."""
    display, now = Display(), [0.0]
    monkeypatch.setattr("goldore.runs.notebook.time.monotonic", lambda: now[0])
    watcher = NotebookWatcher(display)
    run = SimpleNamespace(device="cpu")
    watcher.planned(
        SimpleNamespace(notes=(), dataset=make_dataset(), trials=4, there=0, run=run, compiled=False)
    )
    watcher.started([None] * 4)
    now[0] = 60.0
    watcher.progressed(SimpleNamespace(images=50, total_images=100, epoch=1, loss=1.0))
    assert "0 of 4 trials done, 0:01:00 left" in repr(display.shown[-1])
