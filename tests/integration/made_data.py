"""Small training sets of distinct made images, in the layouts that the repositories read.

Each function returns the training images (uint8) and labels (int64) in the order in which they are read. As a
script, with `tfds-mnist FOLDER`, this writes the set that `make_tfds_mnist` asks for; it needs
tensorflow_datasets.
"""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np


def make_images(count, size, channels, seed, classes=10):
    """Smooth class patterns with noise: labels in random order, as many of each class."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(classes), count // classes))
    patterns = np.random.default_rng(0).uniform(60, 200, (classes, channels, size // 4, size // 4))
    coarse = patterns[labels] + generator.normal(0, 20, (count, channels, size // 4, size // 4))
    smooth = coarse.repeat(4, axis=2).repeat(4, axis=3)
    images = (smooth + generator.normal(0, 5, smooth.shape)).clip(0, 255).astype(np.uint8)
    assert len(np.unique(images.reshape(count, -1), axis=0)) == count
    return images, labels


def make_cifar10(folder, count=2000, test=200):
    """CIFAR-10 as torchvision unpickles it from FOLDER; images are N x 3 x 32 x 32."""
    images, labels = make_images(count, 32, 3, seed=1)
    test_images, test_labels = make_images(test, 32, 3, seed=2)
    batches = Path(folder) / "cifar-10-batches-py"
    batches.mkdir(parents=True, exist_ok=True)

    def write(name, entry):
        (batches / name).write_bytes(pickle.dumps(entry, protocol=2))

    for number, rows in enumerate(np.array_split(np.arange(count), 5), start=1):
        write(
            f"data_batch_{number}",
            {"data": images[rows].reshape(len(rows), -1), "labels": labels[rows].tolist()},
        )
    write("test_batch", {"data": test_images.reshape(test, -1), "labels": test_labels.tolist()})
    names = "airplane automobile bird cat deer dog frog horse ship truck"
    write("batches.meta", {"label_names": names.split()})
    return images, labels


def make_cifar100(folder, count=1000, test=100):
    """CIFAR-100 as torchvision unpickles it from FOLDER; images are N x 3 x 32 x 32."""
    made = Path(folder) / "cifar-100-python"
    made.mkdir(parents=True, exist_ok=True)
    names = {"fine_label_names": [f"class {each}" for each in range(100)]}
    (made / "meta").write_bytes(pickle.dumps(names, protocol=2))
    for name, number, seed in (("test", test, 8), ("train", count, 7)):
        images, labels = make_images(number, 32, 3, seed, classes=100)
        entry = {"data": images.reshape(number, -1), "fine_labels": labels.tolist()}
        (made / name).write_bytes(pickle.dumps(entry, protocol=2))
    return images, labels


def make_mnist(folder, count=6000, test=500):
    """MNIST as torchvision reads it from FOLDER/MNIST/raw; images are N x 28 x 28."""
    raw = Path(folder) / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for stem, number, seed in (("t10k", test, 4), ("train", count, 3)):
        images, labels = make_images(number, 28, 1, seed)
        images = images[:, 0]
        for name, values in ((f"{stem}-images-idx3-ubyte", images), (f"{stem}-labels-idx1-ubyte", labels)):
            header = np.array([0x800 + values.ndim, *values.shape], ">i4")
            (raw / name).write_bytes(header.tobytes() + values.astype(np.uint8).tobytes())
    return images, labels


def make_folder(folder, count=600, test=60, size=64, name="n{:08d}"):
    """PNG files in FOLDER/train and FOLDER/val, a folder a class; images in the order of ImageFolder.

    FOLDER/test is FOLDER/val.
    """
    from PIL import Image

    made = {}
    for split, number, seed in (("train", count, 5), ("val", test, 6)):
        images, labels = make_images(number, size, 3, seed)
        order = np.argsort(labels, kind="stable")
        for place, (image, label) in enumerate(zip(images[order], labels[order], strict=True)):
            path = Path(folder) / split / name.format(label) / f"{place:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(path)
        made[split] = images[order], labels[order]
    (Path(folder) / "test").symlink_to("val")
    return made["train"]


def make_numbered_folder(folder):
    """The same with the class folders 00000, 00001, ..."""
    return make_folder(folder, name="{:05d}")


def make_tfds_mnist(folder, python):
    """MNIST as tensorflow_datasets reads it from FOLDER, in an order of its own; `python` must have that."""
    subprocess.run([python, __file__, "tfds-mnist", folder], check=True, capture_output=True)
    return np.load(Path(folder) / "images.npy"), np.load(Path(folder) / "labels.npy")


def write_tfds_mnist(folder):
    import tensorflow_datasets as tfds

    class Mnist(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("3.0.1")
        name = "mnist"

        def _info(self):
            features = tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(28, 28, 1)),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            )
            return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=("image", "label"))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(6000, 3), "test": self._generate_examples(500, 4)}

        def _generate_examples(self, count, seed):
            images, labels = make_images(count, 28, 1, seed)
            for number, (image, label) in enumerate(zip(images, labels, strict=True)):
                yield number, {"image": image[0, :, :, None], "label": int(label)}

    builder = Mnist(data_dir=folder)
    builder.download_and_prepare()
    pairs = list(tfds.as_numpy(builder.as_dataset(split="train", as_supervised=True)))
    np.save(Path(folder) / "images.npy", np.stack([image for image, _ in pairs]))
    np.save(Path(folder) / "labels.npy", np.array([label for _, label in pairs], np.int64))


if __name__ == "__main__":
    assert sys.argv[1] == "tfds-mnist"
    write_tfds_mnist(sys.argv[2])
