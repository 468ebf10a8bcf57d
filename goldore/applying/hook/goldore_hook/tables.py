"""Tables, which have an entry for every sample: finding labels in them, cutting them to the kept samples."""

import os
import sys

MARK = "_goldore_index"
"""The attribute of a dataset that was cut: by which index."""
_CLASSES = ("classes", "class_names", "class_to_idx")  # there may be as many as samples
_LABELS = ("targets", "labels", "_labels", "label", "y")
_NO_TABLES = (str, bytes, bytearray, dict, set, frozenset, type)
_COLUMNS = 64  # of a table that may hold labels; wider ones are images
_ENTRIES = 64  # of a container that may hold tables; more are a network's weights


def length(value):
    """The length of anything, or -1."""
    try:
        return len(value)
    except Exception:  # of scalars, of datasets that are not finished, of what only pretends to have one
        return -1


def is_table(value, size):
    """Whether something has an entry for each of so many samples."""
    return not isinstance(value, _NO_TABLES) and length(value) == size


def kind_of(value):
    """Which of `_KINDS` something is, None if it is none of them."""
    for each in type(value).__mro__:
        kind = (str(each.__module__).split(".")[0], each.__name__)
        if kind in _KINDS:
            return kind
    return None


def is_dataset(value):
    """Whether something is a Dataset of PyTorch."""
    return isinstance(value, _torch_class("Dataset"))


def is_stream(value):
    """Whether something is a Dataset of PyTorch that is only gone through."""
    return isinstance(value, _torch_class("IterableDataset"))


def is_subset(value):
    """Whether something is a Subset of PyTorch."""
    return isinstance(value, _torch_class("Subset"))


def _torch_class(name):
    """A class of PyTorch's datasets; nothing is of it where that is not imported or too old to have it."""
    return getattr(sys.modules.get("torch.utils.data.dataset"), name, ())


# ------------------------------------------------------------------------------------------------- finding


def parts_of(value):
    """The entries of a small container, by key."""
    if isinstance(value, dict) and len(value) <= _ENTRIES:
        return dict(value)
    if isinstance(value, (list, tuple)) and len(value) <= _ENTRIES:
        return dict(enumerate(value))
    return {}


def with_parts(value, parts):
    """A container with other entries, or itself if they are the same."""
    if all(value[key] is part for key, part in parts.items()):
        return value
    if isinstance(value, dict):
        import copy

        changed = copy.copy(value)
        changed.update(parts)
        return changed
    return type(value)(*parts.values()) if hasattr(value, "_fields") else type(value)(parts.values())


def fields_of(holder):
    """The attributes of an object that may be tables."""
    found = getattr(holder, "__dict__", {})
    names = sorted(found, key=lambda name: name not in _LABELS)  # where labels are likely, first
    return {name: found[name] for name in names if name != MARK and name not in _CLASSES}


def datasets_in(dataset):
    """The Datasets of PyTorch in the fields of one, and in theirs."""
    known, waiting = {id(dataset)}, [dataset]
    while waiting:
        for value in fields_of(waiting.pop()).values():
            for each in [value] + list(parts_of(value).values()):
                if is_dataset(each) and id(each) not in known:
                    known.add(id(each))
                    waiting.append(each)
                    yield each


def grouped_in(holder, size):
    """The name of a field that holds all samples in groups, as by class; None if there is none."""
    for name, value in fields_of(holder).items():
        groups = list(value.values()) if isinstance(value, dict) else value
        if not isinstance(groups, (list, tuple)) or not 1 < len(groups) < size:
            continue
        if not all(isinstance(each, (list, tuple)) or hasattr(each, "ndim") for each in groups):
            continue
        lengths = [length(each) for each in groups]
        if min(lengths) >= 0 and max(lengths) < size and sum(lengths) == size:
            return name
    return None


def tables_in(values, size, depth=1):
    """The tables among some values and in the containers among them."""
    for value in values:
        if is_table(value, size):
            yield value
        elif depth:
            for table in tables_in(parts_of(value).values(), size, depth - 1):
                yield table


def columns_of(table):
    """What may be the labels in a table: lists of numbers or texts."""
    kind = kind_of(table)
    if kind is None or not length(table):
        return
    try:
        for column in _KINDS[kind][0](table):
            yield column
    except Exception:  # it only looked like labels
        return


def labels_of(dataset, size):
    """All that may be the labels of a Dataset of PyTorch with so many samples."""
    if is_subset(dataset):
        if length(dataset.indices) != size:
            return
        for labels in labels_of(dataset.dataset, length(dataset.dataset)):
            try:
                yield [labels[each] for each in dataset.indices]
            except (LookupError, TypeError):
                continue
        return
    for table in tables_in(fields_of(dataset).values(), size):
        for labels in columns_of(table):
            yield labels


def file_names(table):
    """What may be the file of each sample, if a table names files in texts or in its rows: lists of texts."""
    rows = _plain_rows(table)
    if not rows:
        return
    if _is_file_name(rows[0]):
        yield [_with_slashes(each) for each in rows]
    for key, part in parts_of(rows[0]).items():
        if _is_file_name(part):
            try:
                yield [_with_slashes(row[key]) for row in rows]
            except (LookupError, TypeError):  # rows differ
                continue


def _plain_rows(table):
    """A table that may hold texts as a sequence of Python; None for others."""
    package = (kind_of(table) or [""])[0]
    if package == "builtins":
        return table
    if package == "pandas":
        table = table.to_numpy()
    elif package != "numpy":
        return None
    return table.tolist() if table.dtype.kind in "UO" else None


def _is_file_name(value):
    return isinstance(value, (str, os.PathLike)) and any(sign in str(value) for sign in (os.sep, "/", "."))


def _with_slashes(name):
    return str(name).replace(os.sep, "/")


def _array_columns(table):
    if table.ndim == 1:
        yield table.tolist()
    elif len(table.shape[1:]) == 1 and table.shape[1] <= _COLUMNS and "int" in str(table.dtype):
        for column in range(table.shape[1]):
            yield table[:, column].tolist()


def _frame_columns(table):
    for name in table.columns:
        yield table[name].tolist()


def _arrow_columns(table):
    for name, feature in table.features.items():
        if str(getattr(feature, "dtype", "")).startswith(("int", "uint", "string")):
            yield list(table.with_format(None)[name])


def _row_columns(table):
    if is_label(table[0]):
        yield [_plain(each) for each in table]
        return
    for key, part in parts_of(table[0]).items():
        if is_label(part):
            try:
                yield [_plain(row[key]) for row in table]
            except (LookupError, TypeError):  # rows differ
                continue


def is_label(value):
    """Whether something may be the label of a sample: a text or a number."""
    if isinstance(value, (str, bytes, int, float)):
        return True
    return hasattr(value, "item") and getattr(value, "ndim", None) == 0  # of NumPy and PyTorch


def is_permutation(table):
    """Whether a table has the positions of all samples, in any order, which mean others once it is cut."""
    return any(set(column) == set(range(len(column))) for column in columns_of(table))


def _plain(value):
    """A label as Python's own, so that equal ones are one key."""
    return value.item() if hasattr(value, "item") else value


# ------------------------------------------------------------------------------------------------- cutting


class UncutError(Exception):
    """Why something cannot be cut, as the end of a sentence."""


class Cut:
    """Cuts tables to the kept samples; what was one object is one object again.

    Args:
        keep: positions.
        size: samples before.
        of_table: other positions for some tables, by their ids.

    Attributes:
        replaced: the attributes that were set: (holder, name, before, after).
    """

    def __init__(self, keep, size, of_table=()):
        self._keep, self._size, self._of_table = keep, size, dict(of_table)
        self._known = {}
        self.replaced = []

    def holder(self, holder):
        """Cut the fields of an object, in place.

        Raises:
            UncutError: if a table is of a kind that cannot be cut.
        """
        for name, value in fields_of(holder).items():
            self.field(holder, name, value, depth=1)

    def field(self, holder, name, value, depth):
        """Cut a field of an object, in place; containers down to a depth."""
        cut = self.value(value, name, depth)
        if cut is not value:
            vars(holder)[name] = cut
            self.replaced.append((holder, name, value, cut))

    def value(self, value, name, depth):
        """A value cut, or itself if there is no table in it."""
        if id(value) not in self._known:
            cut = self._cut(value, name, depth)
            self._known[id(value)] = value, cut  # the value too, to keep its id taken
        return self._known[id(value)][1]

    def _cut(self, value, name, depth):
        if is_table(value, self._size):
            return self._cut_table(value, name)
        parts = parts_of(value).items() if depth else ()
        return with_parts(
            value, {key: self.value(part, "%s[%r]" % (name, key), depth - 1) for key, part in parts}
        )

    def _cut_table(self, table, name):
        kind = kind_of(table)
        if is_dataset(table):
            import copy

            inner = copy.copy(table)  # others may hold the same
            before = len(self.replaced)
            self.holder(inner)
            if len(self.replaced) > before:
                return inner
        elif kind is not None:
            return _KINDS[kind][1](table, self._of_table.get(id(table), self._keep))
        raise UncutError("its %s is of the type %s, which cannot be cut" % (name, type(table).__name__))

    def undo(self):
        """Put back what was there in place of what it was cut to, under whichever name that is now."""
        before_of = {id(after): before for _, _, before, after in self.replaced}
        for holder in {id(each[0]): each[0] for each in self.replaced}.values():
            back = {name: before_of[id(now)] for name, now in vars(holder).items() if id(now) in before_of}
            vars(holder).update(back)


def _pick_rows(table, keep):
    return type(table)([table[each] for each in keep])


def _pick_tensor(table, keep):
    torch = sys.modules["torch"]
    picked = table[torch.tensor(keep, dtype=torch.int64, device=table.device)]
    return picked if type(picked) is type(table) else picked.as_subclass(type(table))


def _pick_pandas(table, keep):
    picked = table.iloc[keep]
    return picked.reset_index(drop=True) if type(table.index).__name__ == "RangeIndex" else picked


def _pick(table, keep):
    return table[keep]


_KINDS = {
    ("builtins", "list"): (_row_columns, _pick_rows),
    ("builtins", "tuple"): (_row_columns, _pick_rows),
    ("builtins", "range"): (_row_columns, lambda table, keep: [table[each] for each in keep]),
    ("array", "array"): (
        _row_columns,
        lambda table, keep: type(table)(table.typecode, [table[each] for each in keep]),
    ),
    ("numpy", "ndarray"): (_array_columns, _pick),
    ("torch", "Tensor"): (_array_columns, _pick_tensor),
    ("h5py", "Dataset"): (lambda table: _array_columns(table[()]) if table.ndim == 1 else (), _pick),
    ("pandas", "Series"): (lambda table: [table.tolist()], _pick_pandas),
    ("pandas", "DataFrame"): (_frame_columns, _pick_pandas),
    ("datasets", "Dataset"): (_arrow_columns, lambda table, keep: table.select(keep)),
}
"""For each kind of table, by its package and type: what may be labels in it, and how it is cut."""
