"""Records which samples a distillation repository holds or draws, by a hash a sample.

The probes that are put into a clone call `record` or `watch`; nothing is written unless GOLDORE_PROBE names a
folder. Like the plugged block this needs NumPy only, and so runs in any environment that a clone asks for.
"""

import hashlib
import os
import sys
from pathlib import Path

import numpy as np


def record(what, rows, labels=None):
    """Append one line a sample to the file of `what`, and an empty line after the call.

    Args:
        what: "all" for the whole training set as the method holds it, else the name of a draw.
        rows: a tensor or array with a sample a row, or a list of such samples.
        labels: the label of each sample, or one for all; it then stands beside the hash.

    Returns:
        The rows, so that a call can be put around an expression.
    """
    folder = os.environ.get("GOLDORE_PROBE")
    if not folder:
        return rows
    samples = [_plain(row) for row in rows] if isinstance(rows, list | tuple) else _plain(rows)
    lines = [hashlib.sha256(_bytes(row)).hexdigest()[:16] for row in samples]
    if labels is not None:
        names = np.broadcast_to(_plain(labels).astype(int).reshape(-1), len(lines))
        lines = [f"{line} {name}" for line, name in zip(lines, names, strict=True)]
    with (Path(folder) / f"{what}.txt").open("a") as file:
        file.write("".join(f"{line}\n" for line in [*lines, ""]))
    if what == "all" and os.environ.get("GOLDORE_PROBE_STOP"):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return rows


def watch(what, loader):
    """Record the batches (samples, labels, ...) that a loop draws from a loader."""
    for batch in loader:
        record(what, batch[0], batch[1])
        yield batch


def spy(what, dataset):
    """Record what a dataset of torchvision (or a subset of one) holds as "all", and what is read from now on.

    Images are taken before its transform, so that random ones do not hide which they are.
    """
    base = dataset
    while hasattr(base, "indices"):
        base = base.dataset
    transform, base.transform = base.transform, None
    samples = [dataset[each] for each in range(len(dataset))]
    record("all", [image for image, _ in samples], [label for _, label in samples])
    read = []

    def see_image(image):
        read[:] = [image]
        return transform(image)

    def see_label(label):
        record(what, read, label)
        return label

    base.transform, base.target_transform = see_image, see_label
    return dataset


def record_files(folder):
    """Record every image file in a folder that Pillow opens from now on, as "opened", by relative path."""
    from PIL import Image

    original = Image.open
    folder = Path(folder).resolve()

    def opening(file, *args, **fields):
        name = file if isinstance(file, str | os.PathLike) else getattr(file, "name", None)
        path = Path(name).resolve() if isinstance(name, str | os.PathLike) else None
        if path is not None and path.is_relative_to(folder):
            with (Path(os.environ["GOLDORE_PROBE"]) / "opened.txt").open("a") as out:
                out.write(f"{path.relative_to(folder)}\n")
        return original(file, *args, **fields)

    Image.open = opening


def _plain(values):
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy()
    return np.asarray(values)


def _bytes(row):
    if np.issubdtype(row.dtype, np.floating):
        row = row.astype(np.float32)
    return np.ascontiguousarray(row).tobytes()
