"""Reading a few samples before and after a dataset is cut, to see that they follow what was cut."""

import sys

from .tables import UncutError, datasets_in

_COUNT = 3


class Probe:
    """A few samples of a dataset, read with the same random numbers; what that changes is put back.

    Args:
        dataset: before it is cut.
        keep: the positions that it will be cut to.

    Raises:
        Any error of the dataset.
    """

    def __init__(self, dataset, keep):
        self._dataset = dataset
        self._random = _Randomness()
        self._fields = []
        for holder in [dataset] + list(datasets_in(dataset)):
            caches = {name: dict(value) for name, value in vars(holder).items() if type(value) is dict}
            self._fields.append((holder, dict(vars(holder)), caches))
        last = len(keep) - 1
        self._places = sorted({each * last // (_COUNT - 1) for each in range(_COUNT)})
        self._before = {place: keep[place] for place in self._places}
        try:
            self._samples = [self._read(self._before[place]) for place in self._places]
            self._again = [self._read(self._before[place]) for place in self._places]
        finally:
            self.forget()

    def check(self):
        """See that the dataset, now cut, has the samples in their new places.

        Raises:
            UncutError: if it has not, with the reason.
            Any error of the dataset.
        """
        for place, sample, again in zip(self._places, self._samples, self._again):
            if not same(sample, again):
                raise UncutError("its samples differ each time that they are read")
            if not same(sample, self._read(place), (self._before[place], place)):
                raise UncutError("its samples do not follow its fields")

    def forget(self):
        """Put back random numbers and what reading has left in the dataset and in caches of its class."""
        self._random.restore()
        for holder, fields, caches in self._fields:
            now = vars(holder)
            for name in [each for each in now if each not in fields]:
                del now[name]
            for name, entries in caches.items():
                cache = fields[name]
                if now.get(name) is cache:
                    cache.clear()
                    cache.update(entries)
        for kind in type(self._dataset).__mro__:
            for value in list(vars(kind).values()):
                if hasattr(value, "cache_clear"):  # of functools
                    value.cache_clear()

    def _read(self, position):
        self._random.restore()
        return self._dataset[position]


def same(one, two, places=(None, None)):
    """Whether two samples are the same, but for their places where these are a part of them."""
    if type(one) is not type(two):
        return False
    if isinstance(one, (tuple, list)):
        return len(one) == len(two) and all(same(left, right, places) for left, right in zip(one, two))
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key], places) for key in one)
    if isinstance(one, (int, float, str, bytes, type(None))):
        return one == two or (one != one and two != two) or (one, two) == places  # noqa: PLR0124  # NaN
    if hasattr(one, "tobytes") or hasattr(one, "detach"):
        return _same_numbers(one, two, places)
    fields = [_fields(each) for each in (one, two)]
    return same(fields[0], fields[1], places) if fields[0] else one is two


def _same_numbers(one, two, places):
    """Of arrays, tensors and images of PIL."""
    one, two = (each.detach().cpu().numpy() if hasattr(each, "detach") else each for each in (one, two))
    if getattr(one, "shape", None) == getattr(two, "shape", None) and one.tobytes() == two.tobytes():
        return True
    return getattr(one, "ndim", None) == 0 and (one, two) == places


def _fields(sample):
    slots = [name for kind in type(sample).__mro__ for name in getattr(kind, "__slots__", ())]
    return dict(getattr(sample, "__dict__", {}), **{name: getattr(sample, name, None) for name in slots})


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
