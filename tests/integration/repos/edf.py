"""EDF on a subset of ImageNet: experts are trained first, and the second stage starts from real images.

Its classes are chosen from the whole tree after that was read.
"""

from tests.integration.case import Case, Stage, Swap

_SNAPSHOT = "timestamps.append([p.detach().cpu() for p in teacher_net.parameters()])"
_CLASSES = "imagenette = [0, 217, 482, 491, 497, 566, 569, 571, 574, 701]"
_CONFIG = "configs/ImageNet/Imagenette/ConvIN/IPC1.yaml"
_SETTINGS = {
    "buffer_path": ("../buffer_storage/in1k", "buffers\ndata_path: data"),
    "syn_steps": ("40", "2"),
    "expert_epochs": ("2", "1"),
    "current_max_start_epoch": ("5", "1"),
    "max_start_epoch": ("10\nexpansion", "1\nexpansion"),
    "Iteration": ("10000", "1\nepoch_eval_train: 1"),
}

CASES: tuple[Case, ...] = (
    Case(
        repository="edf",
        folder="EDF",
        commit="c0557d5",
        data="folder",
        stages=(
            Stage(
                "buffer",
                "buffer/buffer.py --dataset ImageNet --subset imagenette --res 128 --model ConvNetD5 "
                "--data_path {data} --buffer_path buffers --num_experts 1 --train_epochs 5 --save_interval 1 "
                "--batch_train 15 --lr_teacher 0.03 --rho_max 0.01 --rho_min 0.01 --alpha 0.3",
                "Saving buffers/ImageNet/imagenette/128/ConvNetD5/replay_buffer_",
            ),
            Stage(
                "distill",
                f"--cuda-to-cpu distill/edf_distill.py --cfg {_CONFIG}",
                "iter = 0000, loss = ",
            ),
        ),
        edits=(
            Swap(
                "buffer/buffer.py",
                _SNAPSHOT,
                _SNAPSHOT.replace("cpu()", "cpu().clone()"),
                "on a CPU all snapshots of an expert would be one tensor",
                count=2,
            ),
            Swap(
                "buffer/buffer.py",
                "    parser.add_argument('--subset', ",
                "    parser.add_argument('--res', type=int)\n    parser.add_argument('--subset', ",
                "ImageNet needs this option, which is not there",
            ),
            *(
                Swap(f"utils/{name}.py", old, new, why)
                for name in ("utils_gsam", "utils_baseline")
                for old, new, why in (
                    (_CLASSES, "imagenette = list(range(10))", "the tree has ten classes"),
                    ("net_pooling = 128, 3", "net_pooling = 16, 3", "wide networks take minutes on a CPU"),
                )
            ),
            *(
                Swap(_CONFIG, f"\n{name}: {old}", f"\n{name}: {new}", "it has no other options")
                for name, (old, new) in _SETTINGS.items()
            ),
            Swap(
                "utils/cfg.py",
                "CFG.act_threshold = 0.0\n",
                "CFG.act_threshold = 0.0\nCFG.beta = 1.0\n",
                "its own configurations set this, and it is not there",
            ),
            Swap(
                "utils/gradcam.py",
                "resnet18(weights='IMAGENET1K_V1')",
                "resnet18(weights=None)",
                "published weights are not at hand",
            ),
        ),
        environment={"WANDB_MODE": "disabled", "PYTHONPATH": "."},
        ways=("run",),
    ),
)
