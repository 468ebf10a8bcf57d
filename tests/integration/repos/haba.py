"""HaBa, with ZCA: experts are trained as in MTT, and the second stage starts from real images."""

from tests.integration.case import Case, Stage
from tests.integration.repos.mtt import BUFFER, BUFFER_EDITS, BUFFER_PROBES, COMMON, SHORT, start_probes

CASES: tuple[Case, ...] = (
    Case(
        repository="haba",
        folder="DatasetFactorization",
        commit="60c9128",
        data="cifar10",
        stages=(
            BUFFER,
            Stage(
                "distill",
                f"distill_fac.py {COMMON} {SHORT} --pix_init real --n_style 2",
                "iter = 0000, loss = ",
            ),
        ),
        edits=BUFFER_EDITS,
        probes=(*BUFFER_PROBES, *start_probes("distill_fac.py", "                image_syn.data[c]")),
        environment={"WANDB_MODE": "disabled"},
    ),
)
