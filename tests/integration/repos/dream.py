"""DREAM and DREAM+: all images of a class are clustered, and the centres are matched."""

from tests.integration.case import Case, Stage, Swap

_SHARED = "-d cifar10 --data_dir {data} -n convnet --depth 3 --width 0.25 -j 0"
_CONDENSE = f"{_SHARED} --ipc 1 -f 2 --inner_loop 1 --interval 1 --n_data 64 --batch_real 16 --test"
_LOADED = "        self.data = [d[0].to(device) for d in dataset]  # uint8 data\n"
_CLASS = "        img, lable = loader_real.class_sample(i, length_list[i])\n"
_START = "                img = img[query_idxs].detach()\n"
_MATCH = "                img = images_all[query_list[c]]\n"
_INPUT = "        if train_loader.device == 'cpu':\n"


def _probes(script: str) -> tuple[Swap, ...]:
    """The images that are clustered, and those that are found."""
    return (
        Swap(
            script,
            _CLASS,
            f"{_CLASS}        __import__('goldore_probe').record('class', img, i)\n",
            "the images of a class that are clustered",
        ),
        Swap(
            script,
            _START,
            f"{_START}                __import__('goldore_probe').record('init', img, c)\n",
            "initial images",
        ),
        Swap(
            script,
            _MATCH,
            f"{_MATCH}                __import__('goldore_probe').record('match', img, c)\n",
            "batches of a class that are matched",
        ),
    )


def _shorter(script: str, log: int) -> Swap:
    return Swap(
        script,
        f"    n_iter = args.niter * 100 // args.inner_loop\n    it_log = n_iter // {log}\n",
        "    n_iter = 3\n    it_log = 1\n",
        "--niter counts hundreds",
    )


CASES: tuple[Case, ...] = (
    Case(
        repository="dream",
        folder="DREAM",
        commit="595e3c1",
        data="cifar10",
        stages=(
            Stage("pretrain", f"--cuda-to-cpu pretrain.py {_SHARED} --tag _cut --pt_from 1"),
            Stage("condense", f"--cuda-to-cpu condense.py {_CONDENSE} --match grad", "(Iter   2)"),
            Stage("improve", f"--cuda-to-cpu condense_improve.py {_CONDENSE} --subsample 4", "(Iter   2)"),
        ),
        edits=(_shorter("condense.py", 200), _shorter("condense_improve.py", 200)),
        probes=(
            Swap(
                "data.py",
                _LOADED,
                f"{_LOADED}        __import__('goldore_probe').record('all', self.data, dataset.targets)\n",
                "the training set",
            ),
            Swap(
                "train.py",
                _INPUT,
                f"        __import__('goldore_probe').record('net', input, target)\n{_INPUT}",
                "batches that networks are trained on",
            ),
            *_probes("condense.py"),
            *_probes("condense_improve.py"),
        ),
    ),
    Case(  # its class of folders is one of torchvision's that lists them a second time
        repository="dream",
        folder="DREAM",
        commit="595e3c1",
        data="folder",
        stages=(
            Stage(
                "pretrain",
                "--cuda-to-cpu pretrain.py -d imagenet --imagenet_dir {data} --dseed 1 -n resnet_ap "
                "--width 0.25 -j 0 --load_memory False --batch_real 16 --tag _cut --pt_from 1",
            ),
        ),
        edits=(
            Swap("argument.py", "    args.size = 224\n", "    args.size = 64\n", "it takes long on a CPU"),
        ),
        ways=("run",),
    ),
)
