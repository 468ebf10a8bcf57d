"""IDC: condensation by feature matching, and the pretraining of the networks of condense_mp.py."""

from tests.integration.case import Case, Stage, Swap

_SHARED = "-d cifar10 --data_dir {data} -n convnet --depth 3 --width 0.25 -j 0"

CASES: tuple[Case, ...] = (
    Case(
        repository="idc",
        folder="Efficient-Dataset-Condensation",
        commit="ceac95a",
        data="cifar10",
        stages=(
            Stage(
                "pretrain",
                f"--cuda-to-cpu pretrain.py {_SHARED} --tag _cut --pt_from 1",
            ),
            Stage(
                "condense",
                f"--cuda-to-cpu condense.py {_SHARED} --ipc 1 -f 2 --match feat --inner_loop 1 --n_data 64 "
                "--batch_real 64 --test",
            ),
        ),
        edits=(
            Swap(
                "condense.py",
                "    n_iter = args.niter * 100 // args.inner_loop\n    it_log = n_iter // 50\n",
                "    n_iter = 10\n    it_log = 1\n",
                "--niter counts hundreds, and fewer than 50 iterations divide by zero",
            ),
        ),
        probes=(
            Swap(
                "data.py",
                "        self.data = [d[0].to(device) for d in dataset]  # uint8 data\n",
                "        self.data = [d[0].to(device) for d in dataset]  # uint8 data\n"
                "        __import__('goldore_probe').record('all', self.data, dataset.targets)\n",
                "the training set",
            ),
            Swap(
                "condense.py",
                "                img, _ = loader.class_sample(c, self.ipc * self.factor**2)\n",
                "                img, _ = loader.class_sample(c, self.ipc * self.factor**2)\n"
                "                __import__('goldore_probe').record('init', img, c)\n",
                "initial images",
            ),
            Swap(
                "condense.py",
                "                img, lab = loader_real.class_sample(c)\n",
                "                img, lab = loader_real.class_sample(c)\n"
                "                __import__('goldore_probe').record('match', img, c)\n",
                "batches of a class that are matched",
            ),
            Swap(
                "train.py",
                "        if train_loader.device == 'cpu':\n",
                "        __import__('goldore_probe').record('net', input, target)\n"
                "        if train_loader.device == 'cpu':\n",
                "batches that networks are trained on",
            ),
        ),
    ),
)
