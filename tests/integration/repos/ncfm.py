"""NCFM: networks are trained first, and the images start from and are matched with the first of a class."""

from tests.integration.case import Case, Stage, Swap

_CONFIG = "config/ipc1/cifar10.yaml"
_RETURN = "    return train_dataset, val_dataset\n"
_INIT = "                img, _ = loader.class_sample(c, self.ipc * self.factor**2)\n"
_MATCH = "        img, _ = loader_real.class_sample(c)\n"
_INPUT = "        target = target.cuda(non_blocking=True)\n\n        data_time.update(time.time() - end)\n"


def _setting(name: str, before: str, after: str) -> Swap:
    return Swap(_CONFIG, f" {name}: {before}", f" {name}: {after}", "settings have no options")


CASES: tuple[Case, ...] = (
    Case(
        repository="ncfm",
        folder="NCFM",
        commit="de92fb8",
        data="cifar10",
        stages=(
            Stage(
                "pretrain",
                f"--cuda-to-cpu pretrain_script.py --gpu 0 --config_path ../{_CONFIG}",
                "Model 0 trained state saved",
                folder="pretrain",
            ),
            Stage(
                "condense",
                f"--cuda-to-cpu condense_script.py --gpu 0 --ipc 1 --config_path ../{_CONFIG}",
                "(Iter   0)",
                folder="condense",
            ),
        ),
        edits=(
            _setting("backend", "'nccl'", "'gloo'"),
            _setting("data_dir", "'../dataset'", "'../../data'"),
            _setting("batch_real", "1024", "16"),
            _setting("width", "1.0", "0.25"),
            _setting("pertrain_epochs", "60", "1"),
            _setting("model_num", "20", "1"),
            _setting("num_premodel", "20", "1"),
            _setting("niter", "20000", "2"),
            _setting("num_freqs", "4096", "64"),
            Swap(
                "utils/ddp.py",
                'torch.device(f"cuda:{local_rank}")',
                'torch.device("cpu")',
                "a thread of its own moves the batches",
            ),
            Swap(
                "pretrain/pretrain_script.py",
                "DDP(model, device_ids=[args.rank])",
                "DDP(model)",
                "a network on the CPU has no device",
            ),
        ),
        probes=(
            Swap(
                "utils/utils.py",
                _RETURN,
                "    __import__('goldore_probe').record('all', [d[0] for d in train_dataset], "
                f"train_dataset.targets)\n{_RETURN}",
                "the training set",
            ),
            Swap(
                "utils/train_val.py",
                _INPUT,
                f"{_INPUT}        __import__('goldore_probe').record('net', input, target)\n",
                "batches that networks are trained on",
            ),
            Swap(
                "condenser/Condenser.py",
                _INIT,
                f"{_INIT}                __import__('goldore_probe').record('init', img, c)\n",
                "initial images",
            ),
            Swap(
                "condenser/compute_loss.py",
                _MATCH,
                f"{_MATCH}        __import__('goldore_probe').record('match', img, c)\n",
                "batches of a class that are matched",
            ),
        ),
        environment={
            "RANK": "0",
            "WORLD_SIZE": "1",
            "LOCAL_RANK": "0",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": "0",
        },
        without=("docs",),
    ),
)
