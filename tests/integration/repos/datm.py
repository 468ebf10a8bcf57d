"""DATM: experts are trained by FTD, and the second stage starts from images that one of them gets right."""

from tests.integration.case import Case, Stage, Swap

_SNAPSHOT = "timestamps.append([p.detach().cpu() for p in teacher_net.parameters()])"
_EXPERT = 'epoch("train", dataloader=trainloader, '
_ALL = 'labels_all = torch.tensor(labels_all, dtype=torch.long, device="cpu")\n'
_ORGANIZED = "    for i, lab in tqdm(enumerate(labels_all)):\n"
_CLASS = "data_for_class_c = get_images(c, len(indices_class[c])).detach().data\n"
_CONFIG = "configs/CIFAR-10/ConvIN/IPC1.yaml"
_INIT = "image_syn.data[c * args.ipc:(c + 1) * args.ipc] = temp_img.detach()\n"


def _setting(name: str, before: str, after: str) -> Swap:
    return Swap(_CONFIG, f"\n{name}: {before}\n", f"\n{name}: {after}\n", "settings are no options")


CASES: tuple[Case, ...] = (
    Case(
        repository="datm",
        folder="DATM",
        commit="97ae510",
        data="cifar10",
        stages=(
            Stage(
                "buffer",
                "--cuda-to-cpu buffer_FTD.py --dataset CIFAR10 --data_path {data} --model ConvNet "
                "--train_epochs 2 --rho_max 0.01 --rho_min 0.01 --alpha 0.3 --lr_teacher 0.01 --mom 0.9 "
                "--batch_train 64 --num_experts 1 --save_interval 1 --buffer_path ../buffer_storage",
                "Saving ../buffer_storage/CIFAR10_NO_ZCA/ConvNet/replay_buffer_0.pt",
                folder="buffer",
            ),
            Stage(
                "distill",
                f"--cuda-to-cpu DATM.py --cfg ../{_CONFIG}",
                "iter = 0000, loss = ",
                folder="distill",
            ),
        ),
        edits=(
            _setting("data_path", "../dataset", "../../data"),
            _setting("zca", "True", "False"),
            _setting("syn_steps", "80", "2"),
            _setting("expert_epochs", "2", "1"),
            _setting("max_start_epoch", "4", "1"),
            _setting("Iteration", "10000", "2"),
            Swap(
                "buffer/buffer_FTD.py",
                _SNAPSHOT,
                _SNAPSHOT.replace("cpu()", "cpu().clone()"),
                "on a CPU all snapshots of an expert would be one tensor",
                count=2,
            ),
        ),
        probes=(
            Swap(
                "buffer/buffer_FTD.py",
                _ALL,
                f"{_ALL}    __import__('goldore_probe').record('all', images_all, labels_all)\n",
                "the training set of the experts",
            ),
            Swap(
                "buffer/buffer_FTD.py",
                _EXPERT,
                _EXPERT.replace("trainloader", "__import__('goldore_probe').watch('expert', trainloader)"),
                "batches that the experts are trained on",
            ),
            Swap(
                "distill/DATM.py",
                _ORGANIZED,
                f"    __import__('goldore_probe').record('all', images_all, labels_all)\n{_ORGANIZED}",
                "the training set of the second stage",
            ),
            Swap(
                "distill/DATM.py",
                _CLASS,
                f"{_CLASS}            __import__('goldore_probe').record('class', data_for_class_c, c)\n",
                "images of a class among which those are looked for that an expert gets right",
            ),
            Swap(
                "distill/DATM.py",
                _INIT,
                f"__import__('goldore_probe').record('init', temp_img, c)\n            {_INIT}",
                "initial images",
            ),
        ),
        environment={"WANDB_MODE": "disabled"},
    ),
)
