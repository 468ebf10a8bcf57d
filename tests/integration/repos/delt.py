"""DELT: the ranking and selection of real images, which its later stages start from.

Its dataset is an ImageFolder that lists the folders once more, unsorted.
"""

from tests.integration.case import Case, Stage, Swap

CASES: tuple[Case, ...] = (
    Case(
        repository="delt",
        folder="DELT",
        commit="f2f81ca",
        data="folder",
        stages=(
            Stage(
                "select",
                "--cuda-to-cpu data_selection.py --dataset cifar10 --data-path {data}/train "
                "--output-path selected --ranker-path none --ipc 5 --batch-size 50",
            ),
        ),
        edits=(
            Swap(
                "data_selection.py",
                'checkpoint = torch.load(args.ranker_path, map_location="cpu")',
                'checkpoint = {"model": model.state_dict()}',
                "there is no trained model to rank with",
                count=6,
            ),
        ),
        ways=("run",),
    ),
)
