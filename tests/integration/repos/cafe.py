"""CAFE, whose two loops are steered by its accuracy on real training images."""

from tests.integration.case import Case, Stage, Swap

_ALL = "labels_all = torch.tensor(labels_all, dtype=torch.long, device=args.device)\n"
_WATCHED = "img_real_test = get_images(c, 128)\n"

CASES: tuple[Case, ...] = (
    Case(
        repository="cafe",
        folder="CAFE",
        commit="b718ff5",
        data="cifar10",
        stages=(
            Stage(
                "distill",
                "distill.py --dataset CIFAR10 --data_path {data} --ipc 1 --init real --Iteration 0 "
                "--model ConvNetW32 --num_eval 1 --batch_real 16 --lambda_1 10 --lambda_2 -1",
                "Final Results",
            ),
        ),
        edits=(
            Swap(
                "distill.py",
                "args.epoch_eval_train = 600\n",
                "args.epoch_eval_train = 1\n",
                "hundreds of epochs cannot be chosen away",
            ),
        ),
        probes=(
            Swap(
                "distill.py",
                _ALL,
                f"{_ALL}        __import__('goldore_probe').record('all', images_all, labels_all)\n",
                "the training set",
            ),
            Swap(
                "distill.py",
                "get_images(c, args.ipc).detach().data",
                "__import__('goldore_probe').record('init', get_images(c, args.ipc), c).detach().data",
                "initial images",
            ),
            Swap(
                "distill.py",
                "img_real = get_images(c, args.batch_real)\n",
                "img_real = __import__('goldore_probe').record('batch', get_images(c, args.batch_real), c)\n",
                "batches of a class that are matched",
            ),
            Swap(
                "distill.py",
                _WATCHED,
                "img_real_test = __import__('goldore_probe').record('watcher', get_images(c, 128), c)\n",
                "images by which the watchers end the loops",
                count=2,
            ),
        ),
    ),
)
