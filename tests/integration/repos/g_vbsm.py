"""G-VBSM: teachers are trained, and their statistics of the training set gathered before images are made."""

from tests.integration.case import Case, Stage, Swap

_BRANCH = "Branch_CIFAR_10"
_TRAIN = f"{_BRANCH}/squeeze/train.py"
_RECOVER = f"{_BRANCH}/recover/data_synthesis_with_svd_with_db_with_all_statistic.py"
_TRAIN_LOADER = "trainloader = torch.utils.data.DataLoader(trainset, "
_RECOVER_LOADER = "train_loader = torch.utils.data.DataLoader(train_dataset,\n"
_SAVED = """        checkpoint = torch.load(
            os.path.join(args.pre_train_path, "CIFAR-10", name, f"squeeze_{name}.pth"),
            map_location="cpu")
        model_teacher[-1].load_state_dict(checkpoint)
"""

CASES: tuple[Case, ...] = (
    Case(
        repository="g-vbsm",
        folder="G_VBSM_Dataset_Condensation",
        commit="1ed80b0",
        data="cifar10",
        stages=(
            Stage(
                "squeeze",
                "--cuda-to-cpu train.py --model ShuffleNetV2_0_5 --dataset CIFAR-10 --data_path {data} "
                "--train_epochs 1",
                "Epoch: 0, Top-1 Accuracy",
                folder=f"{_BRANCH}/squeeze",
            ),
            Stage(
                "recover",
                f"--cuda-to-cpu {_RECOVER.rsplit('/', 1)[1]} --batch-size 10 --ipc-number 1 --iteration 2 "
                "--train-data-path {data} --l2-scale 0 --tv-l2 0 --r-loss 0.01 --nuc-norm 1. --verifier "
                "--store-best-images --gpu-id 0 --dist-backend gloo --statistic-path statistic-new",
                "Training Statistic Information Is Successfully Saved",
                folder=f"{_BRANCH}/recover",
            ),
        ),
        edits=(
            Swap(
                _RECOVER,
                '["ResNet18", "ConvNetW128", "MobileNetV2", "WRN_16_2", "ShuffleNetV2_0_5"]',
                '["ConvNetW128", "ShuffleNetV2_0_5"]',
                "five teachers take minutes",
            ),
            Swap(_RECOVER, _SAVED, "", "teachers that nobody trained will do for what it reads"),
            Swap(
                _RECOVER,
                "    ngpus_per_node = torch.cuda.device_count()\n",
                "    ngpus_per_node = 1\n",
                "there is no CUDA device",
            ),
            Swap(
                _RECOVER,
                "    torch.multiprocessing.set_start_method('spawn')\n"
                "    mp.spawn(main_worker, nprocs=ngpus_per_node,\n             args=(",
                "    main_worker(*(0, ",
                "its processes, one a CUDA device, know nothing of run_on_cpu.py",
            ),
        ),
        probes=(
            Swap(
                _TRAIN,
                _TRAIN_LOADER,
                _TRAIN_LOADER.replace("trainset", "__import__('goldore_probe').spy('teacher', trainset)"),
                "images that a teacher is trained on",
            ),
            Swap(
                _RECOVER,
                _RECOVER_LOADER,
                _RECOVER_LOADER.replace(
                    "train_dataset", "__import__('goldore_probe').spy('statistics', train_dataset)"
                ),
                "images of which the teachers' statistics are gathered",
            ),
        ),
        without=("docs",),
    ),
)
