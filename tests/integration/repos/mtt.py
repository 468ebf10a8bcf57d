"""MTT, with ZCA and without: experts are trained in the first stage, the second starts from real images."""

from tests.integration.case import Case, Stage, Swap

_ALL = 'labels_all = torch.tensor(labels_all, dtype=torch.long, device="cpu")\n'
_RECORD_ALL = f"{_ALL}    __import__('goldore_probe').record('all', images_all, labels_all)\n"
_EXPERT = 'epoch("train", dataloader=trainloader, '
_SNAPSHOT = "timestamps.append([p.detach().cpu() for p in teacher_net.parameters()])"

_COMMON = "--dataset CIFAR10 --data_path {data} --batch_train 64"
BUFFER_EDITS = (
    Swap(
        "buffer.py",
        _SNAPSHOT,
        _SNAPSHOT.replace("cpu()", "cpu().clone()"),
        "on a CPU all snapshots of an expert would be one tensor",
        count=2,
    ),
)
BUFFER_PROBES = (
    Swap("buffer.py", _ALL, _RECORD_ALL, "the training set of the experts"),
    Swap(
        "buffer.py",
        _EXPERT,
        _EXPERT.replace("trainloader", "__import__('goldore_probe').watch('expert', trainloader)"),
        "batches that the experts are trained on",
    ),
)
SHORT = (
    "--ipc 2 --syn_steps 2 --expert_epochs 1 --max_start_epoch 1 --Iteration 2 --num_eval 1 "
    "--epoch_eval_train 1"
)


def start_probes(script: str, image: str) -> tuple[Swap, ...]:
    """What the second stage keeps of the training set, and its one use: the initial images."""
    old = f"{image} = get_images(c, args.ipc).detach().data\n"
    new = f"{image} = __import__('goldore_probe').record('init', get_images(c, args.ipc), c).detach().data\n"
    return (
        Swap(script, _ALL, _RECORD_ALL, "the training set of the second stage"),
        Swap(script, old, new, "initial images"),
    )


def stages(script: str, options: str, zca: bool) -> tuple[Stage, Stage]:
    """Experts, and what is distilled from them."""
    common = f"{_COMMON} --zca" if zca else _COMMON
    folder = "CIFAR10" if zca else "CIFAR10_NO_ZCA"
    return (
        Stage(
            "buffer",
            f"buffer.py {common} --num_experts 1 --train_epochs 2 --save_interval 1",
            f"Saving ./buffers/{folder}/ConvNet/replay_buffer_0.pt",
        ),
        Stage("distill", f"{script} {common} {options}", "iter = 0000, loss = "),
    )


def _case(zca: bool) -> Case:
    return Case(
        repository="mtt",
        folder="mtt-distillation",
        commit="50dccea",
        data="cifar10",
        stages=stages("distill.py", SHORT, zca),
        edits=(
            *BUFFER_EDITS,
            Swap("distill.py", "image_syn.cuda()", "image_syn.to(args.device)", "there is no CUDA device"),
        ),
        probes=(
            *BUFFER_PROBES,
            *start_probes("distill.py", "image_syn.data[c * args.ipc:(c + 1) * args.ipc]"),
        ),
        environment={"WANDB_MODE": "disabled"},
        refits=zca,
    )


CASES: tuple[Case, ...] = (_case(zca=True), _case(zca=False))
