"""HaBa, with ZCA and without: experts are trained as in MTT, and the second stage starts from real images."""

from tests.integration.case import Case, Swap
from tests.integration.repos.mtt import BUFFER_EDITS, BUFFER_PROBES, SHORT, stages, start_probes

_NO_KIP = Swap(
    "utils.py",
    "        elif args.kip_zca:\n",
    "        elif getattr(args, 'kip_zca', False):\n",
    "no script has such an option",
)


def _case(zca: bool) -> Case:
    return Case(
        repository="haba",
        folder="DatasetFactorization",
        commit="60c9128",
        data="cifar10",
        stages=stages("distill_fac.py", f"{SHORT} --pix_init real --n_style 2", zca),
        edits=BUFFER_EDITS if zca else (*BUFFER_EDITS, _NO_KIP),
        probes=(*BUFFER_PROBES, *start_probes("distill_fac.py", "                image_syn.data[c]")),
        environment={"WANDB_MODE": "disabled"},
        refits=zca,
    )


CASES: tuple[Case, ...] = (_case(zca=True), _case(zca=False))
