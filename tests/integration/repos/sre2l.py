"""SRe2L: the squeeze of CIFAR-100, its one stage that reads real images."""

from tests.integration.case import Case, Stage, Swap

_FOLDER = "SRe2L/*small_dataset"
_LOADER = "trainloader = torch.utils.data.DataLoader(trainset, "

CASES: tuple[Case, ...] = (
    Case(
        repository="sre2l",
        folder="SRe2L",
        commit="8d00cba",
        data="cifar100",
        stages=(
            Stage("squeeze", "squeeze_cifar.py --epochs 1 --output-dir save", "Test: Acc@1", folder=_FOLDER),
        ),
        probes=(
            Swap(
                f"{_FOLDER}/squeeze_cifar.py",
                _LOADER,
                _LOADER.replace("trainset", "__import__('goldore_probe').spy('teacher', trainset)"),
                "images that the teacher is trained on",
            ),
        ),
        without=("SRe2L/img",),
    ),
)
