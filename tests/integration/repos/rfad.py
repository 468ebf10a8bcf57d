"""RFAD, with ZCA: distillation, and the evaluation of a published set; both draw a validation set."""

from tests.integration.case import Case, Stage, Swap

CASES: tuple[Case, ...] = (
    Case(
        repository="rfad",
        folder="RFAD",
        commit="c9ef03e",
        data="cifar10",
        stages=(
            Stage(
                "distill",
                "--cuda-to-cpu run_distillation.py --dataset cifar10 --samples_per_class 1 --platt "
                "--learn_labels "
                "--n_models 1 --n_batches 1 --save_path out",
                success="iter: 0, valid loss",
            ),
            Stage(
                "evaluate",
                "--cuda-to-cpu eval_distilled_set.py --dataset cifar10 "
                "--save_path distilled_images_final/cifar10/1 --run_finite --net_width 16",
                success="test_acc",
            ),
        ),
        edits=(
            Swap(
                "run_distillation.py",
                "    n_iters = 100000 if",
                "    n_iters = 3 if",
                "iterations have no option",
            ),
            Swap(
                "run_distillation.py",
                "500 if n_classes == 10",
                "20 if n_classes == 10",
                "16 wide networks see the validation set, which takes minutes on a CPU",
            ),
            Swap(
                "eval_distilled_set.py",
                "import kernels\n\nimport neural_tangents as nt\nfrom neural_tangents import stax\n",
                "",
                "neural-tangents serves --run_krr only",
            ),
            Swap("eval_distilled_set.py", "20000", "3", "iterations have no option"),
        ),
        probes=(
            Swap(
                "run_distillation.py",
                "        X_init = coresets.make_coreset(X_train, y_train,",
                "        __import__('goldore_probe').record('all', X_train, y_train)\n"
                "        X_init = coresets.make_coreset(X_train, y_train,",
                "the training set",
            ),
            Swap(
                "run_distillation.py",
                "    model_class = partial(",
                "    __import__('goldore_probe').record('init', X_init, range(n_classes))\n"
                "    __import__('goldore_probe').record('valid', X_valid, y_valid)\n"
                "    model_class = partial(",
                "initial images, and the validation set that chooses among the results",
            ),
            Swap(
                "distillation.py",
                "                    y_batch = y_train[indices]\n",
                "                    y_batch = y_train[indices]\n"
                "                    __import__('goldore_probe').record('batch', X_batch, y_batch)\n",
                "batches of real images",
            ),
            Swap(
                "eval_distilled_set.py",
                "    valid_indices = []\n",
                "    __import__('goldore_probe').record('all', X_train, y_train)\n    valid_indices = []\n",
                "the training set",
            ),
            Swap(
                "training.py",
                "            valid_acc = get_acc(model, model_init, X_valid,",
                "            __import__('goldore_probe').record('valid-evaluate', X_valid, y_valid)\n"
                "            valid_acc = get_acc(model, model_init, X_valid,",
                "the validation set of the evaluation",
            ),
        ),
        keep_ratio="0.7",  # it draws 1,280 in all
        refits=True,
    ),
)
