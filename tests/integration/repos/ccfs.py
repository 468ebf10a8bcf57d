"""CCFS: real images are selected, to be added to distilled ones.

The selection asks a file of scores that counts positions in all samples; see the traps of its entry.
"""

from tests.integration.case import Case, Stage, Swap

_SCRIPT = "ccfs_cifar10.py"
_ALL = "    labels_og = torch.tensor(labels_og, dtype=torch.long)\n"
_RECORD = "__import__('goldore_probe').record"
_SELECTED = "        labs_select = labels_og[idx_selected]\n"

CASES: tuple[Case, ...] = (
    Case(
        repository="ccfs",
        folder="CCFS",
        commit="025593e",
        data="cifar10",
        stages=(
            Stage(
                "select",
                f"{_SCRIPT} --data-path {{data}} --device cpu --epochs 1 --lr-scheduler cosineannealinglr "
                "--image-per-class 5 --alpha 0.4 --curriculum-num 1 --select-misclassified --balance "
                "--select-method simple --score forgetting --score-path scores/forgetting_CIFAR10.npy "
                "--num-eval 1",
                "Acc@1(mean)",
            ),
        ),
        edits=(
            Swap(
                _SCRIPT,
                "ImageFolderIPC(root=args.distill_data_path, ipc=args.cpc, transform=train_transform)",
                "torchvision.datasets.FakeData(10 * args.cpc, (3, 32, 32), 10, train_transform)",
                "there are no distilled images",
            ),
            Swap(
                _SCRIPT,
                "teacher_correct_idx, _ = coarse_filtering("
                "images_og, labels_og, teacher_model, 512, args, get_correct=True)",
                "teacher_correct_idx = list(range(len(images_og)))",
                "there is no teacher but an untrained one, which is right about hardly any image",
            ),
            Swap(
                _SCRIPT,
                "{'select misclassified' if args.select_misclassified else 'select correctly classified'}",
                "{args.select_misclassified}",
                "quotes within quotes, which Python knows from 3.12",
            ),
        ),
        probes=(
            Swap(
                _SCRIPT,
                _ALL,
                f"{_ALL}    {_RECORD}('all', images_og, labels_og)\n",
                "the training set",
            ),
            Swap(
                _SCRIPT,
                _SELECTED,
                f"{_SELECTED}        {_RECORD}('selected', imgs_select, labs_select)\n",
                "the images that are selected, and trained on",
            ),
        ),
        ways=("run",),
    ),
)
