"""CV-DD: its squeeze stage, which trains the committee, is the only one that reads real images."""

from tests.integration.case import Case, Stage

CASES: tuple[Case, ...] = (
    Case(
        repository="cv-dd",
        folder="CV-DD",
        commit="24097e9",
        data="folder",
        stages=(
            Stage(
                "squeeze",
                "squeeze/squeeze.py --dataset-name cifar10 --dataset-dir {data} --save-dir teachers "
                "--model-list ShuffleNetV2 --epoch 1 --batch-size 64 --lr 0.001",
                "finished procesing ShuffleNetV2",
            ),
        ),
        ways=("run",),
    ),
)
