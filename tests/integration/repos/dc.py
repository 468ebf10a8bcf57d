"""DC and DM, from their own repository and from the copy that GoldFromOres bundles."""

from tests.integration.case import Case, Stage, Swap

_ALL = "labels_all = torch.tensor(labels_all, dtype=torch.long, device=args.device)\n"
_INIT = "get_images(c, args.ipc).detach().data"
_BATCH = "img_real = get_images(c, args.batch_real)\n"

_OPTIONS = (
    "--dataset CIFAR10 --data_path {data} --ipc 1 --init real --batch_real 32 --num_exp 1 --num_eval 1 "
    "--eval_mode X"
)
_DC = f"--method DC {_OPTIONS} --Iteration 2"
_DM = f"{_OPTIONS} --Iteration 10 --epoch_eval_train 1 --dsa_strategy color_crop_cutout_flip_scale_rotate"


def _probes(script: str, matchings: int) -> tuple[Swap, ...]:
    """What is kept of the training set, and both uses of it: initial images and batches to match."""
    return (
        Swap(
            script,
            _ALL,
            f"{_ALL}        __import__('goldore_probe').record('all', images_all, labels_all)\n",
            "the training set",
        ),
        Swap(
            script,
            _INIT,
            "__import__('goldore_probe').record('init', get_images(c, args.ipc), c).detach().data",
            "initial images",
        ),
        Swap(
            script,
            _BATCH,
            "img_real = __import__('goldore_probe').record('batch', get_images(c, args.batch_real), c)\n",
            "batches of a class that are matched",
            count=matchings,
        ),
    )


_CLONES = tuple(
    Swap(
        "utils.py",
        f"{name}[:] = {name}[0]\n",
        f"{name}[:] = {name}[0].clone()\n",
        "torch 2 refuses to write a tensor over itself",
        count=2 if name == "theta" else 1,
    )
    for name in (
        "theta",
        "randf",
        "randb",
        "rands",
        "randc",
        "translation_x",
        "translation_y",
        "offset_x",
        "offset_y",
    )
)

CASES: tuple[Case, ...] = (
    Case(
        repository="dc",
        folder="DatasetCondensation",
        commit="53f63a6",
        data="cifar10",
        stages=(Stage("condense", f"main.py {_DC}", "Final Results"),),
        probes=_probes("main.py", 1),
    ),
    Case(
        repository="dm",
        folder="DatasetCondensation",
        commit="53f63a6",
        data="cifar10",
        stages=(Stage("condense", f"main_DM.py {_DM}", "Final Results"),),
        edits=_CLONES,
        probes=_probes("main_DM.py", 2),
    ),
    Case(
        repository="dc",
        folder="GoldFromOres",
        commit="0b5f6ff",
        data="cifar10",
        stages=(Stage("condense", f"-m DatasetCondensation.main {_DC} --drop_ratio 0", "Final Results"),),
        probes=_probes("DatasetCondensation/main.py", 1),
    ),
    Case(
        repository="dm",
        folder="GoldFromOres",
        commit="0b5f6ff",
        data="cifar10",
        stages=(Stage("condense", f"-m DatasetCondensation.main_DM {_DM} --drop_ratio 0", "Final Results"),),
        probes=_probes("DatasetCondensation/main_DM.py", 2),
    ),
)
