"""TESLA: experts are trained in the first stage, and the second starts from real images."""

from tests.integration.case import Case, Stage, Swap
from tests.integration.repos.mtt import BUFFER_EDITS, BUFFER_PROBES, SHORT, start_probes

_COMMON = "--dataset CIFAR10 --data_path {data} --batch_train 64"
_ROWS = "*map(list, zip(*((row[0], row[1]) for row in dst_train)))"
_RECORD_ALL = f"    __import__('goldore_probe').record('all', {_ROWS})\n"


def _all(script: str, before: str) -> Swap:
    return Swap(script, before, f"{_RECORD_ALL}{before}", "the training set, which is read when it is needed")


CASES: tuple[Case, ...] = (
    Case(
        repository="tesla",
        folder="tesla",
        commit="488842e",
        data="cifar10",
        stages=(
            Stage(
                "buffer",
                f"buffer.py {_COMMON} --num_experts 1 --train_epochs 2 --save_interval 1",
                "Saving ./buffers/CIFAR10_NO_ZCA/ConvNet/replay_buffer_",
            ),
            Stage("distill", f"--cuda-to-cpu distill.py {_COMMON} {SHORT}", "iter = 0000, loss = "),
        ),
        edits=(
            *BUFFER_EDITS,
            Swap(
                "buffer.py",
                "    parser.add_argument('--loss_type', ",
                "    parser.add_argument('--teacher_label', action='store_true')\n"
                "    parser.add_argument('--loss_type', ",
                "an epoch asks for this option, which is not there",
            ),
        ),
        probes=(
            _all("buffer.py", "    print('Hyper-parameters: \\n', args.__dict__)\n"),
            BUFFER_PROBES[1],
            _all("distill.py", "    # Build label to index map\n"),
            start_probes("distill.py", "image_syn.data[c * args.ipc:(c + 1) * args.ipc]")[1],
        ),
        environment={"WANDB_MODE": "disabled"},
        ways=("run",),
    ),
)
