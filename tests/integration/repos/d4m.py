"""D4M: real images are encoded and clustered; a few pixels stand in for the latents of Stable Diffusion."""

from tests.integration.case import Case, Stage, Swap

_SCRIPT = "distillation/gen_prototype.py"
_LABELS = "label-prompt/CIFAR-10_labels.txt"
_LOADER = "        trainset, batch_size=args.batch_size, shuffle=True,\n"


def _case(dataset: str, data: str, ways: tuple[str, ...]) -> Case:
    return Case(
        repository="d4m",
        folder="D4M",
        commit="da35d10",
        data=data,
        stages=(
            Stage(
                "prototypes",
                f"--cuda-to-cpu gen_prototype.py --dataset {dataset} --data_dir {{data}} --ipc 2 "
                f"--km_expand 2 --batch_size 50 --size 32 --label_file_path {_LABELS} "
                "--save_prototype_path prototypes",
                "prototype json file saved at: prototypes",
                folder="distillation",
            ),
        ),
        edits=(
            Swap(
                _SCRIPT,
                "from diffusers import StableDiffusionGenLatentsPipeline\n",
                "",
                "a class that has to be put into the library's own files",
            ),
            Swap(_SCRIPT, "import ipdb\n", "", "a debugger that it does not use"),
            Swap(
                _SCRIPT,
                "StableDiffusionGenLatentsPipeline.from_pretrained("
                "args.diffusion_checkpoints_path, torch_dtype=torch.float16)",
                "torch.nn.AdaptiveAvgPool2d(4)",
                "weights of gigabytes",
            ),
            Swap(
                _SCRIPT,
                "init_latents, _ = pipe(prompt=prompts, image=images, strength=0.7, guidance_scale=8)",
                "init_latents = pipe(torch.cat([images, images[:, :1]], dim=1))",
                "latents have four channels",
            ),
        ),
        probes=(
            Swap(
                "distillation/dataset_utils.py",
                _LOADER,
                _LOADER.replace("trainset", "__import__('goldore_probe').spy('encoded', trainset)"),
                "images that are encoded",
            ),
        ),
        ways=ways,
    )


CASES: tuple[Case, ...] = (
    _case("cifar10", "cifar10", ("plug", "run")),
    _case("imagenet", "folder", ("run", "tree")),
)
