"""RDED, which lists the files of each class by itself: a pruned tree serves it, `goldore run` does not."""

from tests.integration.case import Case, Stage, Swap

CASES: tuple[Case, ...] = (
    Case(
        repository="rded",
        folder="RDED",
        commit="3f6453d",
        data="numbered_folder",
        stages=(
            Stage(
                "synthesize",
                "--cuda-to-cpu main.py --subset imagenet-fruits --arch-name conv6 --ipc 1 --mipc 8",
            ),
        ),
        edits=(
            Swap(
                "argument.py",
                'f"./data/{args.subset}/train/"',
                '"./data/train/"',
                "the tests' data lie in the folder itself",
            ),
            Swap(
                "main.py",
                "    valid_main(args)\n",
                "",
                "it trains on what was made, and tests on 50 images a class",
            ),
        ),
        ways=("tree",),
        refusal="but it has 80 samples itself",
    ),
)
