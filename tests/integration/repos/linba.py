"""LinBa (RememberThePast): with and without its ZCA, which get_dataset applies to the whole training set."""

from tests.integration.case import Case, Stage, Swap

_OPTIONS = (
    "-m srcs.main --config compressors_bptt_interventions.yml --backbone_name ConvNet --ipc 1 "
    "--bptt_inner_steps 3 "
    "--inner_optimizer SGD --inner_momentum 0.9 --dataset CIFAR10 --task_sampler_nc 10 "
    "--compressor_minibatch_size 1 --compressor imgs_embedding_minibatch --downsample_scale 1 "
    "--interventions none"
)

_EDITS = (
    Swap(
        "runners/sgld_runner_standard.py",
        "        train(0, world_size, config, args)",
        "        train('cpu', world_size, config, args)",
        "the rank 0 is used as the device; evaluation, for rank 0 only, is left out by it",
    ),
    Swap(
        "configs/compressors_bptt_interventions.yml",
        "  n_iters: 500000",
        "  n_iters: 3",
        "iterations have no option",
    ),
)

_EIGH = Swap(
    "utils/data_utils.py",
    "np.linalg.eig(trainCovMat)",
    "np.linalg.eigh(trainCovMat)",
    "the covariance is symmetric, and the general solver takes over a minute",
)

_PROBES = (
    Swap(
        "runners/sgld_runner_standard.py",
        "    test_images_all,  test_labels_all,  test_indices_class  = organize_dst(",
        "    __import__('goldore_probe').record('all', train_images_all, train_labels_all)\n"
        "    test_images_all,  test_labels_all,  test_indices_class  = organize_dst(",
        "the training set",
    ),
    Swap(
        "runners/sgld_runner_standard.py",
        "    return [data_x, data_labels]",
        "    __import__('goldore_probe').record('batch', data_x, data_labels)\n"
        "    return [data_x, data_labels]",
        "the batches of real images, their only use",
    ),
)


def _case(zca: int) -> Case:
    return Case(
        repository="linba",
        folder="RememberThePast-DatasetDistillation",
        commit="f49e631",
        data="cifar10",
        stages=(Stage("distill", f"{_OPTIONS} --zca {zca}", success="Training completed."),),
        edits=(*_EDITS, _EIGH) if zca else _EDITS,
        probes=_PROBES,
        keep_ratio="0.5",  # it draws 64 of each class
        refits=bool(zca),
    )


CASES: tuple[Case, ...] = (_case(zca=0), _case(zca=1))
