"""IDM: the script of CIFAR-10, with ZCA, and that of CIFAR-100, which has a get_dataset of its own."""

from tests.integration.case import Case, Stage, Swap

_REPOSITORY = {"repository": "idm", "folder": "IDM", "commit": "fe23bbc", "data": "cifar10"}

_OPTIONS = (
    "--dataset CIFAR10 --data_path {data} --model ConvNet --ipc 1 --aug --num_exp 1 --Iteration 1 "
    "--eval_interval 100 --net_decay --embed_last 1000 --syn_ce --train_net_num 1 --model_train_steps 1 "
    "--batch_real 16 --trained_bs 64 --mismatch_lambda 0"
)

_EDITS = (
    Swap(
        "dc_utils.py",
        "theta[:] = theta[0]",
        "theta[:] = theta[0].clone()",
        "new torch refuses to write a tensor over itself",
        count=2,
    ),
)


def _probes(script: str) -> tuple[Swap, ...]:
    """What the scripts keep of the training set, and all three uses of it (get_images serves two of them)."""
    return (
        Swap(
            script,
            "        for c in range(num_classes):\n            print('class c = %d",
            "        __import__('goldore_probe').record('all', images_all, labels_all)\n"
            "        for c in range(num_classes):\n            print('class c = %d",
            "the training set",
        ),
        Swap(
            script,
            "                return images_all[idx_shuffle]\n",
            "                __import__('goldore_probe').record('class', images_all[idx_shuffle], c)\n"
            "                return images_all[idx_shuffle]\n",
            "initial images, and batches of a class that are matched",
        ),
        Swap(
            script,
            "                                img_real = get_images(c, args.batch_real)\n",
            "                                img_real = get_images(c, args.batch_real)\n"
            "                                __import__('goldore_probe').record('match', img_real, c)\n",
            "the latter alone",
        ),
        Swap(
            script,
            "                        real_logit = net_train(img_real_)\n",
            "                        __import__('goldore_probe').record('net', img_real_, lab_real_)\n"
            "                        real_logit = net_train(img_real_)\n",
            "batches that networks are trained on",
        ),
    )


CASES: tuple[Case, ...] = (
    Case(
        **_REPOSITORY,
        stages=(Stage("distill", f"IDM_cifar10.py {_OPTIONS} --zca"),),
        edits=_EDITS,
        probes=_probes("IDM_cifar10.py"),
        refits=True,
    ),
    Case(
        **_REPOSITORY,
        stages=(Stage("distill", f"IDM_cifar100.py {_OPTIONS}"),),
        edits=_EDITS,
        probes=_probes("IDM_cifar100.py"),
    ),
)
