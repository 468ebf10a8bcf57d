"""FRePo, which reads TensorFlow Datasets in the order in which they are stored."""

from tests.integration.case import Case, Stage, Swap

CASES: tuple[Case, ...] = (
    Case(
        repository="frepo",
        folder="FRePo",
        commit="43e028a",
        data="tfds-mnist",
        stages=(
            Stage(
                "distill",
                "-m script.distill --dataset_name=mnist --data_path={data} --zca_path=zca --train_log=log "
                "--train_img=img --width=8 --num_train_steps=10 --num_nn_state=1 --max_online_updates=1 "
                "--save_image=False --num_prototypes_per_class=1",
                success="Finish!",
            ),
        ),
        edits=(
            Swap(
                "script/distill.py",
                "    use_pmap = jax.device_count('gpu') > 1\n",
                "    use_pmap = False\n",
                "it counts GPUs, which fails without one",
            ),
            Swap(
                "script/distill.py",
                "    else:\n        num_online_eval_updates = 1000\n",
                "    else:\n        num_online_eval_updates = 2\n",
                "steps of the evaluation have no option",
            ),
        ),
        probes=(
            Swap(
                "lib/dataset/dataloader.py",
                "        ds_test = tf.data.Dataset.from_tensor_slices((x_test, y_test))\n",
                "        ds_test = tf.data.Dataset.from_tensor_slices((x_test, y_test))\n"
                "        __import__('goldore_probe').record('all', x_train, y_train)\n",
                "the training set",
            ),
            Swap(
                "lib/datadistillation/frepo.py",
                "    y_proto = jax.nn.one_hot(y_proto, num_classes)\n",
                "    __import__('goldore_probe').record('init', x_proto, y_proto)\n"
                "    y_proto = jax.nn.one_hot(y_proto, num_classes)\n",
                "initial prototypes",
            ),
            Swap(
                "lib/datadistillation/frepo.py",
                "        image, label = process_batch(batch, use_pmap=use_pmap, dtype=dtype)\n"
                "        feat = jit_feat_fn(image, nn_state)\n",
                "        __import__('goldore_probe').record('batch', batch[0], batch[1].argmax(-1))\n"
                "        image, label = process_batch(batch, use_pmap=use_pmap, dtype=dtype)\n"
                "        feat = jit_feat_fn(image, nn_state)\n",
                "batches of real images",
            ),
        ),
        python="GOLDORE_FREPO_PYTHON",
    ),
)
