"""Reading a few samples, to see that they follow the tables that were cut."""

import sys

from .tables import kind_of

_COUNT = 3


def spread(count):
    """A few positions among so many, from the first to the last."""
    return sorted({each * (count - 1) // (_COUNT - 1) for each in range(_COUNT)})


def read(dataset, positions):
    """Samples, each read with the same random numbers; the state of these is left as it was."""
    random = _Randomness()
    try:
        found = []
        for each in positions:
            random.restore()
            found.append(dataset[each])
        return found
    finally:
        random.restore()


def same(one, two):
    """Whether two samples are the same, as far as can be told."""
    if type(one) is not type(two):
        return False
    if isinstance(one, (tuple, list)):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if kind_of(one) == ("torch", "Tensor"):
        one, two = one.detach().cpu().numpy(), two.detach().cpu().numpy()
    if hasattr(one, "tobytes"):  # arrays, images of PIL
        return getattr(one, "shape", None) == getattr(two, "shape", None) and one.tobytes() == two.tobytes()
    try:
        return bool(one == two) or type(one).__eq__ is object.__eq__
    except Exception:  # what cannot be compared tells nothing
        return True


class _Randomness:
    """The random numbers of Python, NumPy and PyTorch, as they stood."""

    def __init__(self):
        import random

        self._states = [(random.setstate, random.getstate())]
        if "numpy.random" in sys.modules:
            draws = sys.modules["numpy.random"]
            self._states.append((draws.set_state, draws.get_state()))
        if "torch" in sys.modules:
            torch = sys.modules["torch"]
            self._states.append((torch.set_rng_state, torch.get_rng_state()))

    def restore(self):
        for put, state in self._states:
            put(state)
