"""The order in which an epoch shows the samples: any, or one in which neighbours on a disk stay together."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldore.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

EXACT = "exact"
_BLOCK_BYTES = 2**20  # of a block: long enough that a disk reads it as fast as it can
_SHARE = 4  # a window of blocks takes this part of the memory
_FORM = re.compile(r"blocks:([1-9]\d{0,9}):([1-9]\d{0,9})")
_STREAM = 11  # of the seeds that say in which order blocks come


@dataclass(frozen=True)
class Shuffle:
    """How the samples of an epoch are shuffled.

    Blocks of neighbours come in a random order that all networks share, so that each is read once for all.
    So many of them as make a window are mixed, by each network in an order of its own.

    Attributes:
        block: samples that lie side by side; 0: the samples are shuffled one by one.
        window: samples that are mixed, at the least.
    """

    block: int = 0
    window: int = 0

    @property
    def is_exact(self) -> bool:
        """Whether every order is as likely as any other."""
        return self.block == 0

    @property
    def text(self) -> str:
        """As recipes spell it: "exact", or "blocks:BLOCK:WINDOW"."""
        return EXACT if self.is_exact else f"blocks:{self.block}:{self.window}"

    @classmethod
    def of(cls, text: str) -> "Shuffle":
        """Read what `text` gives.

        Raises:
            UsageError: if it is something else.
        """
        if text == EXACT:
            return cls()
        found = _FORM.fullmatch(text)
        if found is None or int(found[2]) < int(found[1]):
            raise UsageError(
                f"`shuffle` is {text!r}; it must be exact, or blocks:BLOCK:WINDOW with two numbers of images "
                "of which the second is at least as large."
            )
        return cls(int(found[1]), int(found[2]))

    def windows(self, samples: int, seed: int, epoch: int) -> "Iterator[NDArray[np.int64]]":
        """The positions of an epoch, window after window, each in ascending blocks.

        Args:
            samples: N.
            seed: base seed of the run.
            epoch: counted from 1.
        """
        import numpy as np  # which takes a moment, and --help needs none

        if self.is_exact:
            yield np.arange(samples)
            return
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM, epoch)))
        order = random.permutation(-(-samples // self.block))
        each = -(-self.window // self.block)
        for start in range(0, len(order), each):
            blocks = order[start : start + each, None] * self.block + np.arange(self.block)
            yield blocks[blocks < samples]


def shuffle_for(images: int, image_bytes: int, memory: int) -> Shuffle:
    """The shuffle for images on a disk: exact where they fit into memory with room to spare, else in blocks.

    Args:
        images: N.
        image_bytes: of one.
        memory: bytes that this machine has for it. The window is a power of two, so that machines of about
            the same memory agree.
    """
    if images * image_bytes <= memory // 2:
        return Shuffle()
    block = max(1, _BLOCK_BYTES // image_bytes)
    window = max(1, memory // _SHARE // image_bytes)
    return Shuffle(block, max(block, 2 ** (window.bit_length() - 1)))
