"""WMDD: the teacher is trained, and statistics of each class are then taken, on real images."""

from tests.integration.case import Case, Stage, Swap

_COMMON = "--dataset imagenette --model resnet18 --exp-name 1"

CASES: tuple[Case, ...] = (
    Case(
        repository="wmdd",
        folder="WMDD",
        commit="45c2962",
        data="folder",
        stages=(
            Stage(
                "pretrain",
                f"pretrain/pretrain.py {_COMMON} --data-path {{data}} --output-dir output --device cpu "
                "--opt sgd --lr 0.025 --wd 1e-4 --batch-size 30 --lr-scheduler cosine --epochs 1 "
                "--augmix-severity 0 --ra-magnitude 0 --train-crop-size 64 --val-crop-size 64 "
                "--val-resize-size 64",
                "Training time",
            ),
            Stage(
                "recover",
                f"--cuda-to-cpu recover/data_synthesis_new.py {_COMMON} --real-data-path {{data}} "
                "--ckpt-path output/imagenette_resnet18/1/model_0.pth --syn-data-path syn --wb true --ipc 1 "
                "--batch-size 10 --lr 0.25 --iteration 1 --r-bn 10 --store-best-images --per-class-bn true "
                "--weight-wb false",
                "total loss",
            ),
        ),
        edits=(
            Swap(
                "recover/data_synthesis_new.py",
                "models.__dict__[args.verifier_arch](pretrained=True)",
                "models.__dict__[args.verifier_arch](weights=None)",
                "published weights are not at hand",
            ),
            Swap(
                "recover/data_synthesis_new.py",
                "    torch.cuda.reset_max_memory_allocated()\n",
                "",
                "there is no CUDA device",
            ),
        ),
        environment={"PYTHONPATH": "."},
        ways=("run",),
    ),
)
