"""The repositories that goldore knows: one entry each."""

from dataclasses import replace

from goldore.repositories import needs
from goldore.repositories.model import Edit, Repository

_TORCHVISION = {name: name for name in ("MNIST", "FashionMNIST", "SVHN", "CIFAR10", "CIFAR100")}
_LOWER = {
    "MNIST": "mnist",
    "FashionMNIST": "fashion",
    "SVHN": "svhn",
    "CIFAR10": "cifar10",
    "CIFAR100": "cifar100",
}
_TRAJECTORY_TRAPS = (
    "Run both stages with the same index file; otherwise the experts and the start see different samples.",
    "The experts' epochs get shorter with less data, and --expert_epochs and --max_start_epoch count epochs.",
)
_BUFFERS = "Use a separate --buffer_path for each index: new replay_buffer files are added to old ones, and all are read."
_REFITS = "Under goldore run {} fitted to the kept samples alone; the plug fits {} to all of them."
_ZCA = _REFITS.format("ZCA (where it is used) is", "it")
_IMAGENET = (
    "For ImageNet a pruned folder tree (--as-folder) is better: with the plug all images are decoded first."
)

_FINAL = r"evaluate \d+ random \S+, mean += (\S+)%"  # after the last experiment, over all of them
_EVALUATED = r"Evaluate \d+ random \S+, mean = (\S+) std"  # after each evaluation
_IDC_METRIC = (  # of the network that it condenses with; a ResNet-10 is evaluated after it
    r"=> creating model (?!resnet-10, norm: batch)[\s\S]*?Best, last acc: \S+ (\S+)"
)


def _subset(file: str, anchor: str, place: str, variable: str = "dst_train") -> Edit:
    """Wrap a torch Dataset; what is built from it afterwards, class lists included, holds kept samples only."""
    use = f"{variable} = torch.utils.data.Subset({variable}, goldore_index.tolist())"
    return Edit(file, tuple(anchor.splitlines()), place, variable, (use,))


def _slice(file: str, anchor: str, place: str) -> Edit:
    """Shorten the fields of a dataset of IDC's kind, whose loaders read them."""
    use = (
        "for goldore_name in ('data', 'images', 'targets', 'labels', 'samples', 'imgs'):",
        "    goldore_field = getattr(train_dataset, goldore_name, None)",
        "    if isinstance(goldore_field, list):",
        "        setattr(train_dataset, goldore_name, [goldore_field[i] for i in goldore_index])",
        "    elif goldore_field is not None:",
        "        setattr(train_dataset, goldore_name, goldore_field[goldore_index])",
    )
    return Edit(file, (anchor,), place, "train_dataset", use)


def _rfad(file: str, anchor: str, place: str, *, celeba: bool) -> Edit:
    use = "X_train, y_train = X_train[goldore_index], y_train[goldore_index]"
    when = "args.dataset != 'celeba'" if celeba else ""
    return Edit(file, tuple(anchor.splitlines()), place, "y_train", (use,), when)


_LOADER_256 = (
    "testloader = torch.utils.data.DataLoader(dst_test, batch_size=256, shuffle=False, num_workers={})"
)
_LOADER_128 = (
    "testloader = torch.utils.data.DataLoader(dst_test, batch_size=128, shuffle=False, num_workers=2)"
)
_END = "at the end of get_dataset, after ZCA, where the test loader is made"
_RESIZED_END = "at the end of load_resized_data, before it returns"

_DC_EDITS = (_subset("utils.py", _LOADER_256.format(0), _END),)
_LOOPS = (1, 10, 20, 30, 40, 50)  # get_loops ends the run for any other
_DC_URL, _DC_COMMIT = "github.com/VICO-UoE/DatasetCondensation", "53f63a6"
_DC_ROOTS = ("", "DatasetCondensation")  # the second in a clone of GoldFromOres
_DC_TRAPS = (
    "In GoldFromOres' copy leave --drop_ratio at 0; its own pruning would count positions in the kept samples.",
)
_DC_DATASETS = {**_TORCHVISION, "TinyImageNet": "TinyImageNet"}

DC = Repository(
    name="dc",
    door="torchvision's datasets, and torch.load for tinyimagenet.pt",
    ipcs=_LOOPS,
    files=("main_DM.py",),
    tiny="file",
    title="DC",
    url=_DC_URL,
    commit=_DC_COMMIT,
    edits=_DC_EDITS,
    roots=_DC_ROOTS,
    datasets=_DC_DATASETS,
    commands=(
        "python main.py --method DC --dataset {dataset} --ipc {ipc} --init real --batch_real {batch_real}",
    ),
    needs=needs.dc,
    metric=_FINAL,
    batch_real=256,
    traps=_DC_TRAPS,
)
DSA = replace(
    DC,
    name="dsa",
    plugged_as="dc",
    title="DSA",
    commands=(
        "python main.py --method DSA --dataset {dataset} --ipc {ipc} --init real --batch_real {batch_real} "
        "--dsa_strategy color_crop_cutout_flip_scale_rotate",
    ),
)
DM = replace(
    DC,
    name="dm",
    plugged_as="dc",
    title="DM",
    commands=(
        "python main_DM.py --dataset {dataset} --ipc {ipc} --init real --lr_img 1 --batch_real {batch_real} "
        "--dsa_strategy color_crop_cutout_flip_scale_rotate",
    ),
    needs=needs.dm,
)
MTT = Repository(
    name="mtt",
    door="torchvision's datasets",
    refits=_ZCA,
    files=("buffer.py", "distill.py"),
    not_files=("distill_fac.py",),
    tiny="folder",
    title="MTT",
    url="github.com/GeorgeCazenavette/mtt-distillation",
    commit="50dccea",
    edits=(_subset("utils.py", _LOADER_128, _END),),
    datasets={"CIFAR10": "CIFAR10", "CIFAR100": "CIFAR100", "TinyImageNet": "Tiny"},
    commands=(
        "python buffer.py --dataset {dataset} --model ConvNet --zca --train_epochs 50 --num_experts 100 "
        "--buffer_path buffers-{tag}",
        "python distill.py --dataset {dataset} --ipc {ipc} --zca --syn_steps 20 --expert_epochs 3 "
        "--max_start_epoch 20 --buffer_path buffers-{tag}",
    ),
    needs=needs.trajectories,
    metric=_EVALUATED,
    metric_percent=False,
    batch_real=256,
    traps=(
        *_TRAJECTORY_TRAPS,
        "For ImageNet positions count in the ten classes of the --subset, in ImageNet's order; score only those.",
    ),
    caches=_BUFFERS,
)
HABA = Repository(
    name="haba",
    door="torchvision's datasets",
    refits=_ZCA,
    files=("distill_fac.py",),
    tiny="folder",
    title="HaBa",
    url="github.com/Huage001/DatasetFactorization",
    commit="60c9128",
    edits=(_subset("utils.py", _LOADER_128, _END),),
    datasets={**_TORCHVISION, "TinyImageNet": "Tiny"},
    commands=(
        "python buffer.py --dataset {dataset} --model ConvNet --zca --train_epochs 50 --num_experts 100 "
        "--buffer_path buffers-{tag}",
        "python distill_fac.py --dataset {dataset} --ipc {ipc} --zca --n_style 5 --pix_init real "
        "--buffer_path buffers-{tag}",
    ),
    needs=needs.trajectories,
    metric=_EVALUATED,
    metric_percent=False,
    batch_real=256,
    traps=(*_TRAJECTORY_TRAPS, "CIFAR10 runs only with --zca (args.kip_zca is not defined)."),
    caches=_BUFFERS,
)
CAFE = Repository(
    name="cafe",
    door="torchvision's datasets",
    ipcs=_LOOPS,
    files=("distill.py",),
    shape=(10, 3, 32, 32),
    title="CAFE",
    url="github.com/kaiwang960112/CAFE",
    commit="b718ff5",
    edits=(_subset("utils.py", _LOADER_256.format(2), _END),),
    datasets={"CIFAR10": "CIFAR10", "SVHN": "SVHN"},
    commands=("python distill.py --dataset {dataset} --ipc {ipc} --init real --batch_real {batch_real}",),
    needs=needs.cafe,
    metric=_FINAL,
    batch_real=256,
    traps=(
        "It takes only 10 classes of 3 x 32 x 32 images.",
        "Its accuracy watchers use only kept samples.",
    ),
)
FREPO = Repository(
    name="frepo",
    door="TensorFlow Datasets",
    refits=_ZCA,
    title="FRePo",
    url="github.com/yongchaoz/FRePo",
    commit="43e028a",
    edits=(
        Edit(
            "lib/dataset/dataloader.py",
            ("ds_train = tf.data.Dataset.from_tensor_slices((x_train, y_train))",),
            "in get_dataset, after load_data and before the arrays become a tf Dataset",
            "y_train",
            ("x_train, y_train = x_train[goldore_index], y_train[goldore_index]",),
        ),
        Edit(
            "lib/dataset/dataloader.py",
            ("builder = tfds.core.builder_from_directory(data_dir)",),
            "in get_dataset, where converted records are read",
            refuses="the converted records of this dataset are read in no stable order; use another dataset",
        ),
    ),
    datasets={
        "MNIST": "mnist",
        "FashionMNIST": "fashion_mnist",
        "CIFAR10": "cifar10",
        "CIFAR100": "cifar100",
        "TinyImageNet": "tiny_imagenet",
        "Imagenette": "imagenette",
    },
    commands=(
        "python -m script.distill --dataset_name={dataset} --num_prototypes_per_class={ipc} --learn_label=True "
        "--num_train_steps=500000 --train_log=train_log-{tag} --train_img=train_img-{tag} --zca_path=data/zca-{tag} "
        "--data_path=DATA",
    ),
    needs=needs.frepo,
    metric=r"eval/step_acc_mean=([^\s,]+)",
    traps=(
        "It reads the order of TensorFlow Datasets; positions in another order are refused.",
        "imagenet_resized and caltech_birds2011 have no stable order there: the plug refuses them, and goldore run cannot "
        "see records that an earlier run converted.",
        "config.train_size stays that of the whole set, so epochs in the logs are off by that factor.",
    ),
    caches="Use a separate --train_log for each index (a finished run there is resumed and ends at once), and a "
    "separate --zca_path.",
    order="tfds",
)
RFAD = Repository(
    name="rfad",
    door="torchvision's datasets",
    refits=_REFITS.format("means, deviations and ZCA are", "them"),
    title="RFAD",
    url="github.com/yolky/RFAD",
    commit="c9ef03e",
    edits=(
        Edit(
            "run_distillation.py",
            ("train_loader = torch.utils.data.DataLoader(ds_train,",),
            "before the loader of CelebA",
            "ds_train.attr[:, 20]",
            ("ds_train = torch.utils.data.Subset(ds_train, goldore_index.tolist())",),
        ),
        _rfad(
            "run_distillation.py",
            "if args.dataset != 'celeba':\n"
            "X_init = coresets.make_coreset(X_train, y_train, args.samples_per_class, n_classes, args.init_strategy, "
            "seed = args.seed)",
            "after normalisation and ZCA, before the coreset and the validation set are drawn",
            celeba=True,
        ),
        _rfad(
            "eval_distilled_set.py",
            "np.random.seed(args.valid_seed)",
            "after normalisation and ZCA, before the validation set is drawn",
            celeba=False,
        ),
    ),
    datasets={**_LOWER, "CelebA": "celeba"},
    commands=(
        "python run_distillation.py --dataset {dataset} --samples_per_class {ipc} --platt --learn_labels "
        "--save_path out-{tag}",
        "python eval_distilled_set.py --dataset {dataset} --save_path out-{tag} --run_krr",
    ),
    commands_for={
        "CelebA": (
            "python run_distillation.py --dataset celeba --samples_per_class {ipc} --platt --init_strategy noise "
            "--save_path out-{tag}",
        )
    },
    needs=needs.rfad,
    metric=r"KRR results on test set: NNGP: ([^\s,]+)",  # distilled with NNGP
    metric_percent=False,
    traps=(
        "Run both scripts with the same index file; otherwise the validation set holds dropped samples.",
        "split_mnist has different labels from MNIST, and the plug refuses it.",
        "CelebA: score with attribute 20 as the label, in torchvision's order.",
    ),
    caches="Use a separate --save_path for each index.",
)
IDC = Repository(
    name="idc",
    door="torchvision's datasets",
    title="IDC",
    url="github.com/snu-mllab/Efficient-Dataset-Condensation",
    commit="ceac95a",
    edits=(
        _slice("condense.py", "return train_dataset, val_loader", _RESIZED_END),
        _slice("condense_mp.py", "return train_dataset, val_loader", _RESIZED_END),
    ),
    datasets=_LOWER,
    commands=(
        "python condense.py --reproduce -d {dataset} -f {factor} --ipc {ipc} --batch_real {batch_real} "
        "--tag {tag} --data_dir DATA",
    ),
    needs=needs.idc,
    metric=_IDC_METRIC,
    batch_real=64,
    factor=2,
    traps=(
        "With load_memory off and fewer kept samples in all than --batch_real, the loader never ends.",
        "Run pretrain.py (for condense_mp.py) with the same index file.",
        "For ImageNet with 100 classes --batch_real is at least 128, and load_memory is off.",
        "train.py, test.py and coreset.py read all samples; they are baselines.",
        _IMAGENET,
    ),
    caches="Use a separate ./pretrained folder for each index: networks there are used whatever they were trained on.",
)
DREAM = Repository(
    name="dream",
    door="torchvision's datasets",
    tiny="file",
    title="DREAM",
    url="github.com/lyq312318224/DREAM",
    commit="595e3c1",
    edits=(
        _slice("condense.py", "return train_dataset, val_loader", _RESIZED_END),
        _slice("condense_improve.py", "return train_dataset, val_loader", _RESIZED_END),
    ),
    datasets={**_LOWER, "TinyImageNet": "tinyimagenet"},
    commands=(
        "python condense.py --reproduce --match grad -d {dataset} -f {factor} --ipc {ipc} --batch_real {batch_real} "
        "--tag {tag} --data_dir DATA",
    ),
    needs=needs.dream,
    metric=_IDC_METRIC,
    batch_real=128,
    factor=2,
    traps=(
        "Without --match grad or feat condense.py fails: the default, bi_match, is condense_improve.py's alone.",
        "For Tiny ImageNet --reproduce sets --batch_real to 64, whatever you give.",
        _IMAGENET,
    ),
    caches="Use a separate ./pretrained folder for each index.",
)
_IDM = (
    "python IDM_{}.py --dataset {{dataset}} --ipc {{ipc}} --aug --net_decay --embed_last 1000 --syn_ce "
    "--batch_real {{batch_real}}"
)
IDM = Repository(
    name="idm",
    door="torchvision's datasets",
    refits=_ZCA,
    files=("IDM_cifar10.py",),
    tiny="file",
    title="IDM",
    url="github.com/uitrbn/IDM",
    commit="fe23bbc",
    edits=(
        _subset("utils.py", _LOADER_128, _END + " (IDM_cifar10.py)"),
        _subset("dc_utils.py", _LOADER_256.format(0), _END + " (IDM_cifar100.py, IDM_tiny.py)"),
        _slice("others_edc.py", "return train_dataset, val_loader", _RESIZED_END + " (IDM_imagenet.py)"),
    ),
    datasets={**_TORCHVISION, "TinyImageNet": "TinyImageNet"},
    commands=(_IDM.format("cifar100"),),
    commands_for={"CIFAR10": (_IDM.format("cifar10"),), "TinyImageNet": (_IDM.format("tiny"),)},
    needs=needs.idm,
    metric=_FINAL,
    batch_real=256,
    traps=(
        "IDM_cifar10.py --dataset Tiny reads the folder of Tiny ImageNet, IDM_tiny.py the file tinyimagenet.pt.",
        "The published commands for one image per class use --batch_real 5000.",
        "IDM_cifar10.py with one image per class and without --aug needs 2,560 real images of each class.",
        "IDM_imagenet.py always matches the first --batch_real images of a class.",
        "The folder 'checkpoints' must exist before it starts.",
        "IDM_imagenet.py caches decoded images (samples.pkl) and reuses them for any tree with as many images.",
    ),
)
LINBA = Repository(
    name="linba",
    door="torchvision's datasets",
    refits=_ZCA,
    title="LinBa",
    url="github.com/princetonvisualai/RememberThePast-DatasetDistillation",
    commit="f49e631",
    edits=(
        _subset(
            "utils/data_utils.py",
            "return channel, im_size, train_num_classes, test_num_classes, dst_train, dst_test",
            "at the end of get_dataset, after ZCA, before it returns",
        ),
    ),
    datasets=_TORCHVISION,
    commands=(
        "bash run_scripts/bptt_efficient_compressor_minibatch.sh {tag} ConvNet compressors_bptt_interventions.yml "
        "{ipc} 150 SGD 0.9 {dataset} 10 10 1 1 none 0",
    ),
    needs=needs.linba,
    metric=_EVALUATED,
    metric_percent=False,
    traps=(
        "It always exits with 0, even when the index is refused: look for 'Training completed.'",
        "Its class subsets (CIFAR10Half, CIFAR100_5, ...) are sorted by class; score them in that order.",
    ),
)


def _datm_commands(model: str, folder: str) -> tuple[str, ...]:
    return (
        f"(cd buffer; python buffer_FTD.py --dataset {{dataset}} --model {model} --zca --train_epochs 100 --rho_max 0.01 "
        "--rho_min 0.01 --alpha 0.3 --lr_teacher 0.01 --mom 0. --batch_train 256 --num_experts 100 "
        "--data_path ../dataset/ --buffer_path ../buffers-{tag}/)",
        f"(cd distill; python DATM.py --cfg ../configs/{folder}/ConvIN/IPC{{ipc}}.yaml)  "
        "# with buffer_path: ../buffers-{tag}/ in it",
    )


DATM = Repository(
    name="datm",
    door="torchvision's datasets",
    refits=_ZCA,
    tiny="folder",
    title="DATM",
    url="github.com/NUS-HPC-AI-Lab/DATM",
    commit="97ae510",
    edits=(
        _subset("utils/utils_gsam.py", _LOADER_128, _END + " (buffer_FTD.py)"),
        _subset("utils/utils_baseline.py", _LOADER_256.format(2), _END + " (DATM.py, DATM_tesla.py)"),
        _subset("utils/utils_arch.py", _LOADER_128, _END + " (distill_arch.py)"),
    ),
    datasets={"CIFAR10": "CIFAR10", "CIFAR100": "CIFAR100", "TinyImageNet": "Tiny"},
    commands_for={
        "CIFAR10": _datm_commands("ConvNet", "CIFAR-10"),
        "CIFAR100": _datm_commands("ConvNet", "CIFAR-100"),
        "TinyImageNet": _datm_commands("ConvNetD4", "TinyImageNet"),
    },
    commands=(),
    needs=needs.datm,
    metric=_EVALUATED,
    metric_percent=False,
    traps=(
        *_TRAJECTORY_TRAPS,
        "ImageNet1K is read from resized .pt files that are not sorted; an index in sorted order is refused.",
    ),
    caches=_BUFFERS,
)
DATADAM = Repository(
    name="datadam",
    door="torchvision's datasets, and torch.load for tinyimagenet.pt",
    refits=_ZCA,
    tiny="file",
    files=("main_DataDAM.py",),
    title="DataDAM",
    url="github.com/DataDistillation/DataDAM",
    commit="0f6ea09",
    edits=(_subset("utils.py", _LOADER_256.format(0), _END),),
    datasets={
        "MNIST": "MNIST",
        "CIFAR10": "CIFAR10",
        "CIFAR100": "CIFAR100",
        "TinyImageNet": "TinyImageNet",
        "Imagenette": "ImageNette",
    },
    commands=(
        "python main_DataDAM.py --dataset {dataset} --ipc {ipc} --batch_real {batch_real} --data_path data "
        "--save_path result-{tag}",
    ),
    needs=needs.datadam,
    metric=rf"Final Results[\s\S]*?{_FINAL}",  # the same line follows for the best of all evaluations
    batch_real=64,
    traps=(
        "Its ImageNet subsets are filtered from ImageNet in ImageNet's order; score only those classes.",
        "--init smart reads images that were chosen from all samples; use --init real.",
    ),
)
NCFM = Repository(
    name="ncfm",
    door="torchvision's datasets",
    ipcs=(1, 10, 50),
    tiny="folder",
    title="NCFM",
    url="github.com/gszfwsb/NCFM",
    commit="de92fb8",
    edits=(
        _slice("utils/utils.py", "return train_dataset, val_dataset", _RESIZED_END),
        Edit(
            "utils/utils.py",
            ("loader_real = ImageNetMemoryDataLoader(",),
            "in get_loader, where ImageNet is read from class_k.pt files",
            refuses="ImageNet is read from class_k.pt files here; make them from a tree of goldore prune --as-folder",
        ),
    ),
    datasets={
        "CIFAR10": "cifar10",
        "CIFAR100": "cifar100",
        "TinyImageNet": "tinyimagenet",
        "Imagenette": "imagenette",
    },
    commands=(
        "# in config/ipc{ipc}/{dataset}.yaml: factor: {factor}, batch_real: {batch_real}",
        "(cd pretrain; torchrun --nproc_per_node 1 pretrain_script.py --gpu 0 "
        "--config_path ../config/ipc{ipc}/{dataset}.yaml)",
        "(cd condense; torchrun --nproc_per_node 1 condense_script.py --gpu 0 --ipc {ipc} "
        "--config_path ../config/ipc{ipc}/{dataset}.yaml)",
    ),
    needs=needs.ncfm,
    batch_real=1024,
    factor=2,
    traps=(
        "It always matches the first batch_real kept images of a class.",
        "batch_real and factor are in the configuration files, which exist for 1, 10 and 50 images per class and few datasets.",
        "ImageNet is read from class_k.pt files; make them from a pruned folder tree (--as-folder).",
    ),
    caches="Use a separate pretrain_dir and save_dir in the configuration for each index.",
    reads_folder=True,
)
SRE2L = Repository(
    name="sre2l",
    door="torchvision's datasets",
    title="SRe2L",
    url="github.com/VILA-Lab/SRe2L",
    commit="8d00cba",
    edits=(
        _subset(
            "SRe2L/*small_dataset/squeeze_cifar.py",
            "trainloader = torch.utils.data.DataLoader(trainset, batch_size=128, shuffle=True, num_workers=2)",
            "before the loader of the training set",
            "trainset",
        ),
    ),
    datasets={"CIFAR100": "CIFAR100"},
    commands=(
        "(cd 'SRe2L/*small_dataset'; mkdir -p save-{tag}; python squeeze_cifar.py --output-dir save-{tag})",
    ),
    needs=needs.squeeze,
    traps=(
        "Only the squeeze stage reads real images; nothing is pruned unless the teacher is trained again.",
        "For Tiny ImageNet and ImageNet train the teacher on a pruned folder tree (--as-folder).",
    ),
    caches="Use a separate --output-dir for each index, and let the later stages read it.",
    reads_folder=True,
)
RDED = Repository(
    name="rded",
    batch_holds_start=True,
    title="RDED",
    url="github.com/LINs-lab/RDED",
    commit="3f6453d",
    commands=("python main.py --subset SUBSET --ipc {ipc} --mipc {batch_real} --factor {factor}",),
    needs=needs.rded,
    metric=r"Best accuracy is ([^\s@]+)@",  # otherwise it prints errors
    batch_real=600,
    factor=2,
    traps=(
        "goldore run ends it with an error: it lists the files of its folders by itself.",
        "Its teacher, which chooses and labels images, was trained on all samples; train one on the pruned tree.",
        "It overwrites its --train-dir and --val-dir: put the tree in data/SUBSET of the clone, with train/ and val/.",
        "For numbers other than 1, 10 or 50 images per class it needs a --re-batch-size.",
        "It opens --mipc (600) files of each class and fails if there are fewer.",
    ),
    reads_folder=True,
    zero_padded=True,
)
_D4M = (
    "(cd distillation; python gen_prototype.py --dataset {{dataset}} --ipc {{ipc}} --data_dir DATA --label_file_path "
    "label-prompt/{}.txt --diffusion_checkpoints_path STABLE_DIFFUSION --save_prototype_path prototypes-{{tag}})"
)
D4M = Repository(
    name="d4m",
    door="torchvision's datasets",
    title="D4M",
    url="github.com/suduo94/D4M",
    commit="da35d10",
    edits=(
        _subset(
            "distillation/dataset_utils.py",
            "trainloader = torch.utils.data.DataLoader(\ntrainset, batch_size=args.batch_size, shuffle=True,",
            "in load_dataset, before the loader of the training set",
            "trainset",
        ),
    ),
    tiny="folder",
    datasets={"CIFAR10": "cifar10", "CIFAR100": "cifar100", "TinyImageNet": "tiny_imagenet"},
    commands=(_D4M.format("LABELS"),),
    commands_for={
        "CIFAR10": (_D4M.format("CIFAR-10_labels"),),
        "CIFAR100": (_D4M.format("cifar-100"),),
        "TinyImageNet": (_D4M.format("tinyimgnt-label"),),
    },
    needs=needs.d4m,
    caches="Use a separate --save_prototype_path for each index.",
    reads_folder=True,
)


def _gvbsm_commands(branch: str) -> tuple[str, ...]:
    return (
        f"(cd {branch}/squeeze; sh squeeze.sh)  # with its --data_path",
        f"(cd {branch}/recover; sh recover.sh)  # with its --train-data-path, and --statistic-path statistic-{{tag}}",
    )


def _with_statistics(edit: Edit) -> Edit:
    """Statistics are sums over what is read, divided by the size of the whole set otherwise."""
    use = (
        "for goldore_layers in loss_r_feature_layers:",
        "    for goldore_layer in goldore_layers:",
        "        goldore_layer.data_number = len(goldore_index)",
    )
    return replace(edit, apply=(*edit.apply, *use))


_GVBSM = "data_synthesis_with_svd_with_db_with_all_statistic.py"
G_VBSM = Repository(
    name="g-vbsm",
    title="G-VBSM",
    url="github.com/shaoshitong/G_VBSM_Dataset_Condensation",
    commit="1ed80b0",
    edits=tuple(
        edit
        for branch in ("Branch_CIFAR_10", "Branch_CIFAR_100")
        for edit in (
            _subset(
                f"{branch}/squeeze/train.py",
                "trainloader = torch.utils.data.DataLoader(trainset, batch_size=args.batch_size, shuffle=True, "
                "num_workers=4)",
                "before the loader of the training set",
                "trainset",
            ),
            _with_statistics(
                _subset(
                    f"{branch}/recover/{_GVBSM}",
                    "train_loader = torch.utils.data.DataLoader(train_dataset,",
                    "before the loader of the training set",
                    "train_dataset",
                )
            ),
        )
    ),
    datasets={"CIFAR10": "CIFAR-10", "CIFAR100": "CIFAR-100"},
    commands=_gvbsm_commands("Branch_CIFAR_10"),
    commands_for={"CIFAR100": _gvbsm_commands("Branch_CIFAR_100")},
    needs=needs.squeeze,
    traps=(
        "Both stages read real images; run them with the same index file.",
        "Its recover stage divides sums over the images by 50,000 (100,000 and 1,281,167 in the other branches), however "
        "many there are. The plug sets data_number to the number of kept samples; under goldore run or with a pruned tree "
        "set it in recover/utils.py yourself.",
        "For Tiny ImageNet and ImageNet use one pruned folder tree (--as-folder) for both stages.",
    ),
    caches="Use a separate --statistic-path for each index: existing statistics are reused, and the clone comes with "
    "those of the whole training sets, so that without it no real image is read.",
    reads_folder=True,
)

_SCORE_TRAP = (
    "Its files in scores/ count positions in all samples, and kept samples are looked up in them by their positions "
    "among the kept: put the file's entries at the positions of the index in its place{}."
)
SELMATCH = Repository(
    name="selmatch",
    door="torchvision's datasets",
    tiny="folder",
    title="SelMatch",
    url="github.com/Yongalls/SelMatch",
    commit="ce63f76",
    datasets={"CIFAR10": "CIFAR10", "CIFAR100": "CIFAR100", "TinyImageNet": "Tiny"},
    commands=(
        "python buffer.py --dataset {dataset} --model ConvNetBN --train_epochs 100 --num_experts 100 "
        "--buffer_path buffers-{tag}",
        "python distill.py --load_all --dataset {dataset} --initialize window --score cscore --ipc {ipc} --alpha 0.5 "
        "--beta 0.5 --buffer_path buffers-{tag} --save_path logged_files-{tag}",
    ),
    commands_for={
        "TinyImageNet": (
            "python buffer.py --dataset {dataset} --model ConvNetD4BN --train_epochs 100 --num_experts 100 "
            "--buffer_path buffers-{tag}",
            "python distill.py --load_all --dataset {dataset} --model ConvNetD4BN --model_eval ResNet18BN_Tiny "
            "--syn_steps 20 --initialize window --score forgetting --ipc {ipc} --alpha 0.5 --beta 0.5 "
            "--buffer_path buffers-{tag} --save_path logged_files-{tag}",
        )
    },
    needs=needs.selmatch,
    metric=r"Iteration: \d+, test acc: (\S+) \(",
    metric_percent=False,
    traps=(
        *_TRAJECTORY_TRAPS,
        _SCORE_TRAP.format(", or use --initialize random"),
        "eval.py --method window reads real images too; run it with the same index.",
    ),
    caches=_BUFFERS,
)
_EDF_CONFIG = "configs/ImageNet/Imagenette/ConvIN/IPC{ipc}.yaml"
EDF = Repository(
    name="edf",
    door="torchvision's ImageFolder",
    ipcs=(1, 10, 50),
    title="EDF",
    url="github.com/NUS-HPC-AI-Lab/EDF",
    commit="c0557d5",
    commands=(
        "(cd buffer; python buffer.py --dataset ImageNet --subset imagenette --res 128 --model ConvNetD5 "
        "--train_epochs 100 --num_experts 100 --buffer_path ../buffers-{tag} --data_path DATA --rho_max 0.01 "
        "--rho_min 0.01 --alpha 0.3 --lr_teacher 0.01 --mom 0. --batch_train 256)",
        f"(cd distill; python edf_distill.py --cfg ../{_EDF_CONFIG})  "
        "# with data_path: DATA and buffer_path: ../buffers-{tag} in it",
    ),
    needs=needs.datm,
    metric=_EVALUATED,
    metric_percent=False,
    traps=(
        _TRAJECTORY_TRAPS[0],
        "Its subsets are taken from all of ImageNet's 1,000 classes by their numbers: score the whole tree.",
        "As published it does not run: buffer.py lacks the option --res, and utils/cfg.py lacks CFG.beta. Add both.",
        "ImageNet1K is read from .pt files that are not sorted, and kept in images_all.pt whatever the index.",
        "The networks behind its activation maps were trained on all samples.",
    ),
    caches=_BUFFERS,
    reads_folder=True,
)
CV_DD = Repository(
    name="cv-dd",
    door="torchvision's ImageFolder",
    tiny="folder",
    title="CV-DD",
    url="github.com/Jiacheng8/CV-DD",
    commit="24097e9",
    datasets={"CIFAR10": "cifar10", "CIFAR100": "cifar100", "TinyImageNet": "tiny_imagenet"},
    commands=(
        "(cd squeeze; python squeeze.py --dataset-name {dataset} --dataset-dir DATA --save-dir teachers-{tag} "
        "--model-list ResNet18 ResNet50 ShuffleNetV2 MobileNetV2 Densenet121 --epoch 200 --batch-size 512 "
        "--lr 0.001)",
        "# then, without goldore run: python recover/recover.py --exp-name {tag} --dataset-name {dataset} "
        "--model-pool-dir squeeze/teachers-{tag} --pretrained-model-type offline --model-setting 5 --patch-dir PATCHES "
        "--syn-data-path syn --initialisation-method Patches --apply-data-augmentation --lr 0.25 --iteration 4000 "
        "--r-bn 0.01 --store-best-images --ipc-start 0 --ipc-end {ipc}",
    ),
    needs=needs.squeeze,
    traps=(
        "Only the squeeze stage reads real images; nothing is pruned unless the teachers are trained again.",
        "CIFAR is read from folders, DATA/train and DATA/test, too: score that tree, not torchvision's CIFAR.",
        "The patches to download were cut out of all samples; use --initialisation-method Guassian (so spelled).",
        "The weights of its voters were found with teachers that saw all samples.",
    ),
    caches="Use a separate --save-dir for each index: every .pth file there is evaluated, whatever it was trained on.",
    reads_folder=True,
)
DELT = Repository(
    name="delt",
    door="its own ImageFolder, whose files are found by their names",
    tiny="folder",
    title="DELT",
    url="github.com/VILA-Lab/DELT",
    commit="f2f81ca",
    datasets={"TinyImageNet": "tiny-imagenet", "Imagenette": "image-nette"},
    commands=(
        "python data_selection.py --dataset {dataset} --data-path DATA/train --ranker-path TEACHER --ranker-arch resnet18 "
        "--ranking-file ranking-{tag}/ranking.csv --store-rank-file --output-path selected-{tag} "
        "--selection-criteria medium --ipc {ipc}",
        "# then, without goldore run: python recover/recover.py --dataset DATASET --arch-name resnet18 --arch-path TEACHER "
        "--init-data-path selected-{tag} --syn-data-path syn --exp-name {tag} --ipc {ipc} --use-early-late "
        "--round-iterations 500 --iteration 4000 --batch-size 100 --lr 0.25 --r-bn 0.01 --jitter 0 "
        "--easy2hard-mode cosine --milestone 1 --store-best-images",
    ),
    needs=needs.delt,
    traps=(
        "Only the selection reads the training set; under goldore run the later stages, which read what it selected, "
        "would end with exit code 1.",
        "The teacher that ranks and guides was trained on all samples; train one on the kept ones.",
        "recover.py spells the datasets otherwise: tinyimagenet, imagenet-nette, imagenet-1k.",
        "Its files are listed in no order, so it needs an index of a folder tree, which names them.",
    ),
    caches="Use a separate --output-path and --ranking-file for each index: an existing ranking lists all samples.",
    reads_folder=True,
)
_WMDD = "--dataset {dataset} --model resnet18"
WMDD = Repository(
    name="wmdd",
    door="torchvision's ImageFolder",
    tiny="folder",
    title="WMDD",
    url="github.com/Liu-Hy/WMDD",
    commit="45c2962",
    datasets={"Imagenette": "imagenette", "TinyImageNet": "tiny-imagenet"},
    commands=(
        f"(cd pretrain; python pretrain.py {_WMDD} --data-path DATA --exp-name {{tag}} --opt sgd --lr 0.025 --wd 1e-4 "
        "--batch-size 32 --lr-scheduler cosine --epochs 50 --augmix-severity 0 --ra-magnitude 0)",
        f"(cd recover; python data_synthesis_new.py {_WMDD} --ckpt-path "
        "../pretrain/output/{dataset}_resnet18/{tag}/model_49.pth --real-data-path DATA --exp-name {tag} "
        "--syn-data-path syn-{tag} --wb true --ipc {ipc} --batch-size 100 --lr 0.25 --iteration 2000 --r-bn 10 "
        "--verifier --store-best-images --per-class-bn true --weight-wb false)",
    ),
    needs=needs.wmdd,
    traps=(
        "Run both stages with the same index: the teacher and the statistics of each class come from real images.",
        "Leave --cache-dataset off: it keeps lists of files by folder, whatever the index.",
        "run.sh runs all stages, and goldore run goes before it as well; it ends with the exit code of the last.",
    ),
    caches=(
        "Use a separate --syn-data-path for each index: barycenter.npy there is used again whatever the --exp-name."
    ),
    reads_folder=True,
)


def _ccfs_command(script: str, name: str, options: str) -> str:
    return (
        f"python {script} --data-path DATA --filter-model resnet18 --teacher-model resnet18 --teacher-path TEACHER "
        f"--eval-model resnet18 --device cuda {options} --opt sgd --lr 0.2 --momentum 0.9 --weight-decay 1e-4 "
        "--lr-scheduler cosineannealinglr --lr-warmup-epochs 5 --lr-warmup-method linear --lr-warmup-decay 0.01 "
        "--distill-data-path DISTILLED -T 20 --image-per-class {ipc} --alpha 0.2 --curriculum-num 3 "
        f"--select-misclassified --select-method simple --balance --score forgetting --score-path "
        f"scores/forgetting_{name}.npy --output-dir selection_logs-{{tag}} --num-eval 5"
    )


CCFS = Repository(
    name="ccfs",
    door="torchvision's datasets, and its own for Tiny ImageNet",
    tiny="folder",
    title="CCFS",
    url="github.com/CYDaaa30/CCFS",
    commit="025593e",
    datasets={name: name for name in ("CIFAR10", "CIFAR100", "TinyImageNet")},
    commands=(_ccfs_command("ccfs_cifar10.py", "CIFAR10", "--epochs 500"),),
    commands_for={
        "CIFAR100": (_ccfs_command("ccfs_cifar100.py", "CIFAR100", "--epochs 500"),),
        "TinyImageNet": (_ccfs_command("ccfs_tiny.py", "Tiny", "--batch-size 64 --epochs 100"),),
    },
    needs=needs.ccfs,
    metric=r"Acc@1\(mean\): (\S+)%",
    traps=(
        _SCORE_TRAP.format(", or use --score logits"),
        "The teacher and the distilled images to download saw all samples; only the images it adds are kept ones.",
        "selected_indices.json counts positions among the kept samples: run eval_*.py with the same index.",
        "ccfs_cifar10.py needs Python 3.12: it has quotes within quotes.",
    ),
    caches="Use a separate --output-dir for each index.",
)
FTD = Repository(
    name="ftd",
    door="torchvision's datasets",
    tiny="folder",
    title="FTD",
    url="github.com/AngusDujw/FTD-distillation",
    commit="711532a",
    datasets={"CIFAR10": "CIFAR10", "CIFAR100": "CIFAR100", "TinyImageNet": "Tiny"},
    commands=(
        "(cd buffer; python buffer_FTD.py --dataset {dataset} --model ConvNet --zca --train_epochs 50 --num_experts 100 "
        "--rho_max 0.01 --rho_min 0.01 --data_path DATA --buffer_path ../buffers-{tag})",
        "(cd distill; python distill_FTD.py --dataset {dataset} --ipc {ipc} --zca --syn_steps 20 --expert_epochs 2 "
        "--max_start_epoch 40 --lr_img 1000 --lr_lr 1e-05 --lr_teacher 0.01 --ema_decay 0.9995 --Iteration 5000 "
        "--data_path DATA --buffer_path ../buffers-{tag})",
    ),
    needs=needs.trajectories,
    metric=_EVALUATED,  # of its moving average it prints "ema_mean"
    metric_percent=False,
    traps=(
        *_TRAJECTORY_TRAPS,
        "With --zca the whitening is fitted to the kept samples, and so are the test images it makes.",
    ),
    caches=_BUFFERS,
)
TESLA = Repository(
    name="tesla",
    door="torchvision's datasets",
    title="TESLA",
    url="github.com/justincui03/tesla",
    commit="488842e",
    datasets={"CIFAR10": "CIFAR10", "CIFAR100": "CIFAR100"},
    commands=(
        "python buffer.py --dataset {dataset} --model ConvNet --train_epochs 50 --num_experts 100 --zca --data_path DATA "
        "--buffer_path buffers-{tag}",
        "python distill.py --dataset {dataset} --ipc {ipc} --zca --syn_steps 80 --expert_epochs 2 --max_start_epoch 40 "
        "--lr_img 1000 --lr_lr 1e-05 --lr_teacher 0.01 --batch_syn 125 --data_path DATA --buffer_path buffers-{tag}",
    ),
    needs=needs.trajectories,
    metric=_EVALUATED,
    metric_percent=False,
    traps=(
        *_TRAJECTORY_TRAPS,
        "As published buffer.py does not run: it lacks the switch --teacher_label, which every epoch asks for. Add it.",
        "For Tiny ImageNet and ImageNet the start is looked up in indices/*.npy, positions of each class in all samples: "
        "use --pix_init noise there, or it takes images of other classes or fails.",
        "With --zca the whitening is fitted to the kept samples, and so are the test images it makes.",
    ),
    caches=_BUFFERS,
)

REPOSITORIES = {
    each.name: each
    for each in (
        DC, DSA, DM, MTT, CAFE, FREPO, RFAD, IDC, IDM, LINBA, HABA,
        DATM, DREAM, DATADAM, NCFM, SRE2L, RDED, D4M, G_VBSM,
        SELMATCH, EDF, CV_DD, DELT, WMDD, CCFS, FTD, TESLA,
    )
}  # fmt: skip
