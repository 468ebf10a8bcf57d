"""Reading a few samples before and after a dataset is cut, to see that they follow what was cut."""

import copy
import sys

from .tables import UncutError, datasets_in

_MOST = 12


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
        moved = [place for place in range(len(keep)) if keep[place] != place] or list(range(len(keep)))
        last = len(moved) - 1
        self._places = sorted({moved[each * last // (_MOST - 1)] for each in range(_MOST)})
        self._before = {place: keep[place] for place in self._places}
        self._state = _State(dataset)
        try:
            self._samples = [self._read(self._before[place]) for place in self._places]
            self._again = [self._read(self._before[place]) for place in self._places[:3]]
        finally:
            self._state.restore()

    def check(self):
        """See that the dataset, now cut, has the samples in their new places.

        Raises:
            UncutError: if it has not, with the reason.
            Any error of the dataset.
        """
        if not all(map(same, self._samples, self._again)):
            raise UncutError("its samples differ each time that they are read")
        self._state = _State(self._dataset)
        try:
            for place, sample in zip(self._places, self._samples):
                places = (self._before[place], place) if _has_content(sample) else (None, None)
                if not same(sample, self._read(place), places):
                    raise UncutError("its samples do not follow its fields")
        finally:
            self._state.restore()

    def _read(self, position):
        self._state.random.restore()
        return self._dataset[position]


class _State:
    """The fields of a dataset and of those in it, what their containers hold, and random numbers."""

    def __init__(self, dataset):
        self.random = _Randomness()
        self._kinds = type(dataset).__mro__
        self._fields = []
        for holder in [dataset] + list(datasets_in(dataset)):
            fields = dict(vars(holder))
            inside = {
                name: copy.copy(value) for name, value in fields.items() if type(value) in (dict, list, set)
            }
            self._fields.append((holder, fields, inside))

    def restore(self):
        """Put all back, and clear caches of the class."""
        self.random.restore()
        for holder, fields, inside in self._fields:
            for name, content in inside.items():
                value = fields[name]
                if type(value) is list:
                    value[:] = content
                else:
                    value.clear()
                    value.update(content)
            now = vars(holder)
            for name in [each for each in now if each not in fields]:
                del now[name]
            now.update(fields)
        for kind in self._kinds:
            for value in list(vars(kind).values()):
                if hasattr(value, "cache_clear"):  # of functools
                    value.cache_clear()


def _has_content(sample):
    """Whether there is more in a sample than numbers and texts, which may all be labels and positions."""
    if isinstance(sample, dict):
        sample = list(sample.values())
    if isinstance(sample, (list, tuple)):
        return any(map(_has_content, sample))
    if isinstance(sample, (int, float, str, bytes, type(None))):
        return False
    return getattr(sample, "ndim", 1) > 0


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
