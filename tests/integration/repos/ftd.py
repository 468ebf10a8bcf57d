"""FTD: experts are trained in the first stage, and the second starts from real images."""

from dataclasses import replace

from tests.integration.case import Case, Stage
from tests.integration.repos.mtt import BUFFER_EDITS, BUFFER_PROBES, SHORT, start_probes

_COMMON = "--dataset CIFAR10 --data_path {data} --batch_train 64"
_BUFFER = "buffer/buffer_FTD.py"
_DISTILL = "distill/distill_FTD.py"

CASES: tuple[Case, ...] = (
    Case(
        repository="ftd",
        folder="FTD-distillation",
        commit="711532a",
        data="cifar10",
        stages=(
            Stage(
                "buffer",
                f"{_BUFFER} {_COMMON} --num_experts 1 --train_epochs 2 --save_interval 1 --rho_max 0.01 "
                "--rho_min 0.01",
                "Saving ./buffers/CIFAR10_NO_ZCA/ConvNet/replay_buffer_",
            ),
            Stage("distill", f"--cuda-to-cpu {_DISTILL} {_COMMON} {SHORT}", "iter = 0000, loss = "),
        ),
        edits=tuple(replace(each, file=_BUFFER) for each in BUFFER_EDITS),
        probes=(
            *(replace(each, file=_BUFFER) for each in BUFFER_PROBES),
            *start_probes(_DISTILL, "image_syn.data[c * args.ipc:(c + 1) * args.ipc]"),
        ),
        environment={"WANDB_MODE": "disabled", "PYTHONPATH": "."},
        ways=("run",),
    ),
)
