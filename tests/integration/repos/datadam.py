"""DataDAM, which starts from real images and matches batches of all classes."""

from tests.integration.case import Case, Stage, Swap

_ALL = "labels_all = torch.tensor(labels_all, dtype=torch.long, device=args.device)\n"

CASES: tuple[Case, ...] = (
    Case(
        repository="datadam",
        folder="DataDAM",
        commit="0f6ea09",
        data="cifar10",
        stages=(
            Stage(
                "distill",
                "--cuda-to-cpu main_DataDAM.py --dataset CIFAR10 --data_path {data} --save_path out --ipc 2 "
                "--batch_real 16 --Iteration 2 --num_eval 1 --epoch_eval_train 1",
                "Maximum Results",
            ),
        ),
        probes=(
            Swap(
                "main_DataDAM.py",
                _ALL,
                f"{_ALL}        __import__('goldore_probe').record('all', images_all, labels_all)\n",
                "the training set",
            ),
            Swap(
                "main_DataDAM.py",
                "get_images(c, args.ipc).detach().data",
                "__import__('goldore_probe').record('init', get_images(c, args.ipc), c).detach().data",
                "initial images",
            ),
            Swap(
                "main_DataDAM.py",
                "img_real = get_images(c, args.batch_real)\n",
                "img_real = __import__('goldore_probe').record('batch', get_images(c, args.batch_real), c)\n",
                "batches of a class that are matched",
            ),
        ),
        without=("Initial_Synthetic_Dataset",),
    ),
)
