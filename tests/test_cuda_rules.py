"""The emulated card notices what would be wrong on a real one: mutations of the source, plain mistakes."""

import contextlib
import importlib
import io
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tests.cuda_rules import BrokenRuleError, obstacle
from tests.forked import FORKS

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 120  # seconds
without_card = pytest.mark.skipif(
    torch.cuda.is_available() or obstacle() is not None, reason="about the emulated card"
)

TRAINING = "TheSameTraining and every_layout and grouped and not last and not fused"
# What is changed, where, and the tests of tests/training/test_cuda.py that must notice.
MUTATIONS = {
    "the step reads a loss": (
        "training.stepping",
        "self._optimizer.step()",
        "self._optimizer.step(); losses.sum().item()",
        "host_runs_ahead and True",
    ),
    "the step takes a number from the host": (
        "training.stepping",
        "self.losses.to(self.loss_sum.dtype), alpha=len(images)",
        "self.losses.double() * torch.tensor(float(len(images)))",
        TRAINING,
    ),
    "the capture does not wait for the batch": (
        "training.graphs",
        "side.wait_stream(current)",
        "pass",
        TRAINING,
    ),
    "nobody waits for what was done before the capture failed": (
        "training.graphs",
        "current.wait_stream(side)",
        "pass",
        "running_out and warming",
    ),
    "a graph reads the first batch's memory": (
        "training.graphs",
        "tuple(each.clone() for each in arguments)",
        "tuple(arguments)",
        "in_their_own_memory",
    ),
    "batches are not copied to where a graph reads them": (
        "training.graphs",
        "target.copy_(each)",
        "pass",
        TRAINING,
    ),
    "the steps of a capture count": (
        "training.graphs",
        "each.copy_(before)",
        "pass",
        TRAINING,
    ),
    "capturing on the stream that is current": (
        "training.graphs",
        "stream=side)",
        "stream=current)",
        TRAINING,
    ),
    "a stream for every capture": (
        "training.graphs",
        "@functools.cache\ndef _side_stream",
        "def _side_stream",
        "many_steppers",
    ),
    "a failed capture's stream stays current": (
        "training.graphs",
        "torch.cuda.set_stream(current)",
        "pass",
        "capture_that_fails",
    ),
    "the allocator is not told that a capture failed": (
        "training.graphs",
        "_leave(pool, self._device)",
        "pass",
        "capture_that_fails",
    ),
    "the compiler is blamed for a failed capture": (
        "training.stepping",
        "or in_capture",
        "",
        "capture_that_fails",
    ),
    "graphs that keep their stepper": (
        "training.graphs",
        "self._pool: Any = None",
        "self.itself = self; self._pool: Any = None",
        "goes_without_the_garbage_collector",
    ),
    "momentum is made in the step": (
        "training.stepping",
        "if recipe.momentum:",
        "if False:",
        TRAINING,
    ),
    "losses are allocated anew": (
        "training.stepping",
        "self.losses.copy_(losses.detach())",
        "self.losses = losses.detach()",
        "in_their_own_memory",
    ),
    "networks restart in other memory": (
        "networks.stacked",
        "self.parameters[name].copy_(values)",
        "self.parameters[name] = values.to(self.parameters[name].device).requires_grad_()",
        "on_subsets and 256",
    ),
    "the normalisation is on the host": (
        "training.images",
        "dtype=torch.float32, device=device).view(channel) * 255\n        self.scale",
        "dtype=torch.float32).view(channel) * 255\n        self.scale",
        TRAINING,
    ),
    "buffers are filled again while they are sent": (
        "training.sending",
        "slot.read.synchronize()",
        "pass",
        "host_runs_ahead and False",
    ),
    "sending from ordinary memory": (
        "training.sending",
        "pin_memory=True",
        "pin_memory=False",
        "host_runs_ahead and False",
    ),
    "a new buffer for every batch": (
        "training.sending",
        "len(self._slots) < _BUFFERS",
        "True",
        "bounded_page_locked_memory",
    ),
    "progress is read before it is there": (
        "training.loop",
        "self._sent[2].query()",
        "True",
        "progress_is_told",
    ),
    "synthetic images move": (
        "training.distill",
        "self.synthetic.sub_(self._velocity, alpha=recipe.learning_rate)",
        "self.synthetic = self.synthetic - recipe.learning_rate * self._velocity",
        "distilled_subsets and 256-dm",
    ),
}


@without_card
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_of_the_source_is_noticed(name, tmp_path):
    log = tmp_path / "log"
    process = FORKS.Process(target=_run_mutated, args=(*MUTATIONS[name], str(log)))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == pytest.ExitCode.TESTS_FAILED, log.read_text()


@without_card
def test_the_unchanged_source_passes_in_such_a_process(tmp_path):
    log = tmp_path / "log"
    process = FORKS.Process(
        target=_run_mutated, args=("training.graphs", "each.clone()", "each.clone()", TRAINING, str(log))
    )
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == pytest.ExitCode.OK, log.read_text()


def _run_mutated(module_name, old, new, expression, log):
    """Run some gpu tests with one module changed; exits with pytest's code."""
    importlib.import_module("goldore.training.distill")
    module = sys.modules[f"goldore.{module_name}"]
    source = Path(module.__file__).read_text(encoding="utf-8")
    assert old in source, f"{module_name} has no {old!r}"
    _replace(module, source.replace(old, new))
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        options = ["-q", "-x", "-p", "no:xdist", "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
        code = pytest.main([*options, "-k", expression, str(ROOT / "tests/training/test_cuda.py")])
    Path(log).write_text(said.getvalue(), encoding="utf-8")
    sys.exit(code)


def _replace(module: ModuleType, source: str) -> None:
    """Run the source in the module, and give what it defines to everyone who imported it."""
    before = dict(vars(module))
    exec(compile(source, module.__file__, "exec"), vars(module))  # noqa: S102
    after = vars(module)
    for user in [each for name, each in sys.modules.items() if name.startswith("goldore")]:
        for name, value in list(vars(user).items()):
            if name in before and before[name] is value and after[name] is not value:
                setattr(user, name, after[name])


@without_card
@pytest.mark.gpu
class TestRules:
    def test_work_on_two_streams_is_in_no_order(self, card):
        first, side = torch.zeros(4, device="cuda"), torch.cuda.Stream()
        with torch.cuda.stream(side):
            first += 1
        assert "a race: aten.add_.Tensor writes memory" in card.broken.pop()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            first += 1
        torch.cuda.current_stream().wait_stream(side)
        assert first.tolist() == [2.0] * 4
        assert not card.broken

    def test_what_nobody_waited_for_is_not_there(self, card):
        sent = torch.ones(2, device="cuda").to("cpu", non_blocking=True)
        assert sent.isnan().all()
        torch.cuda.synchronize()
        assert sent.tolist() == [1.0, 1.0]

    def test_memory_has_a_limit(self, card):
        card.limit = card.allocated[0] + 2**20
        torch.zeros(2**10, device="cuda")
        with pytest.raises(torch.OutOfMemoryError):
            torch.zeros(2**20, device="cuda")

    def test_devices_do_not_mix(self, card):
        here = torch.ones(2, device="cuda:0")
        for other in (torch.ones(2, device="cuda:1"), torch.ones(2)):
            with pytest.raises(BrokenRuleError, match="same device"):
                here + other
        assert (here + torch.tensor(1.0)).tolist() == [2.0, 2.0]

    @pytest.mark.parametrize("mistake", ["waiting", "sending", "reading"])
    def test_a_capture_does_not_survive(self, card, mistake):
        given, graph = torch.ones(2, device="cuda"), torch.cuda.CUDAGraph()
        does = {
            "waiting": torch.cuda.synchronize,
            "sending": lambda: given.copy_(torch.zeros(2)),
            "reading": given.sum().item,
        }
        current = torch.cuda.current_stream()
        with pytest.raises(RuntimeError, match="during capture"), torch.cuda.graph(graph):
            does[mistake]()
        torch.cuda.set_stream(current)
        with pytest.raises(BrokenRuleError):
            graph.replay()
