"""A user's own function, `package.module:function`, that returns a dataset or a pair of them."""

from typing import Any

from goldore.datasets.dataset import ImageDataset
from goldore.datasets.items import load_object
from goldore.datasets.origin import Origin
from goldore.datasets.pixels import Channels
from goldore.errors import DatasetError, reason
from goldore.files.user_code import import_object, working_directory_first


def load_function(
    spec: str, name: str, channels: Channels = "auto", image_size: int | None = None
) -> ImageDataset:
    """Call a function and read what it returns.

    The working directory is searched first, as `python -m` would.

    Args:
        spec: "package.module:function"; the function is called without arguments, and returns what
            `load_object` takes.
        name: of the dataset.
        channels: where the channels of arrays and tensors are.
        image_size: resize the shorter side of Pillow's images to this, then crop the centre square.

    Returns:
        The dataset, in the order of the items.

    Raises:
        DatasetError: if the function cannot be imported or fails, or an item has another form.
    """
    with working_directory_first():
        return load_object(
            _call(spec),
            name,
            channels,
            image_size,
            Origin("function", spec, "", image_size, channels=channels),
        )


def _call(spec: str) -> Any:
    try:
        return import_object(spec)()
    except (Exception, SystemExit) as error:
        raise DatasetError(
            f"{spec} could not be called ({type(error).__name__}: {reason(error)}); it must be an "
            "importable function without arguments that returns a torch Dataset or a pair (train, test)."
        ) from error
