"""SelMatch: experts are trained in the first stage, and the second starts from a window of real images.

The window is chosen by a file of scores that counts positions in all samples; see the traps of its entry.
"""

from tests.integration.case import Case, Stage, Swap

_ALL = "    labels_all = torch.tensor(labels_all, dtype=torch.long, device=args.device)\n"
_RECORD_ALL = f"{_ALL}    __import__('goldore_probe').record('all', images_all, labels_all)\n"
_EXPERT = 'epoch("train", dataloader=trainloader, '
_SNAPSHOT = "timestamps.append([p.detach().cpu() for p in teacher_net.parameters()])"
_WINDOW = "image_syn_{0}.data[c * args.{0}pc:(c + 1) * args.{0}pc] = images_all[idx_{0}].detach().data"


def _window(part: str) -> Swap:
    old = _WINDOW.format(part)
    record = f"__import__('goldore_probe').record('init-{part}', images_all[idx_{part}], c)"
    new = old.replace(f"images_all[idx_{part}]", record)
    return Swap("distill.py", old, new, "images that are taken, or that synthetic ones start from", count=2)


_COMMON = "--dataset CIFAR10 --data_path {data} --device cpu"

CASES: tuple[Case, ...] = (
    Case(
        repository="selmatch",
        folder="SelMatch",
        commit="ce63f76",
        data="cifar10",
        stages=(
            Stage(
                "buffer",
                f"buffer.py {_COMMON} --num_experts 1 --train_epochs 2 --save_interval 1 --batch_train 64",
                "Saving ./buffers/CIFAR10/ConvNetBN/replay_buffer_",
            ),
            Stage(
                "distill",
                f"distill.py {_COMMON} --load_all --ipc 4 --alpha 0.5 --beta 0.5 --syn_steps 2 "
                "--expert_epochs 1 --max_start_epoch 1 --Iteration 1 --model_eval ConvNetBN --num_eval 1 "
                "--epoch_eval_train 1",
                "iter = 0000, loss = ",
            ),
        ),
        edits=(
            Swap(
                "buffer.py",
                _SNAPSHOT,
                _SNAPSHOT.replace("cpu()", "cpu().clone()"),
                "on a CPU all snapshots of an expert would be one tensor",
                count=2,
            ),
            Swap(
                "distill.py",
                "torch.linalg.norm(image_syn_",
                "torch.linalg.vector_norm(image_syn_",
                "new torch takes no norm of three dimensions",
                count=2,
            ),
        ),
        probes=(
            Swap("buffer.py", _ALL, _RECORD_ALL, "the training set of the experts"),
            Swap(
                "buffer.py",
                _EXPERT,
                _EXPERT.replace("trainloader", "__import__('goldore_probe').watch('expert', trainloader)"),
                "batches that the experts are trained on",
            ),
            Swap("distill.py", _ALL, _RECORD_ALL, "the training set of the second stage"),
            _window("s"),
            _window("c"),
        ),
        ways=("run",),
    ),
)
