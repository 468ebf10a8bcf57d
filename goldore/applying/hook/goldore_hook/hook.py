"""Applying an index to the datasets that a process builds."""

import os
import sys
from _thread import _local, allocate_lock  # of threading, which takes longer to import

from .doors import DOORS, Finder
from .index import Refusal, labels_digest, read_index
from .tables import (
    MARK,
    Cut,
    columns_of,
    fields_of,
    file_names,
    is_dataset,
    is_label,
    is_stream,
    is_subset,
    is_table,
    kind_of,
    labels_of,
    length,
    parts_of,
    tables_in,
    with_parts,
)

OPEN = []
"""The hooks at work in this process."""
_TRUSTED = ("torchvision.datasets", "torch.utils.data")  # classes there read what their fields hold
_DEPTH = 3  # of containers in what torch.load gives
_MOST_SEEN = 100  # datasets that one process tells of
_STREAM = "it is a stream, in which nothing can be counted"
_LABELS_ALONE = "it holds labels, and the images are elsewhere"


class Hook:
    """Applies an index to the datasets that this process builds.

    Args:
        index: an `Index`, or the path of its file, which is then read when the first dataset is met.
        log: path of the log.
        refusal: type of the error that ends a program which cannot go on.

    Attributes:
        variables: environment variables that child processes need.
    """

    def __init__(self, index, log, refusal=Refusal):
        self._index, self._log, self._refusal = index, log, refusal
        self.variables = {}
        self._undo = []
        self._building = _local()
        self._seen, self._lock = set(), allocate_lock()

    @property
    def index(self):
        """The index; it is read when it is first asked for."""
        if isinstance(self._index, str):
            try:
                self._index = read_index(self._index)
            except Refusal as error:
                self.tell("refused", why=str(error))
                raise
        return self._index

    # ---- doors

    def open(self, variables=()):
        """Open the doors of modules that are there, and those of others as soon as they are."""
        self.variables = dict(variables)
        OPEN.append(self)
        self._finder = Finder(self)
        sys.meta_path.insert(0, self._finder)
        for name in DOORS:
            if name in sys.modules:
                DOORS[name](self, sys.modules[name])

    def close(self):
        """Leave everything as it was found."""
        OPEN.remove(self)
        sys.meta_path.remove(self._finder)
        for holder, name, before in reversed(self._undo):
            if before is None:
                delattr(holder, name)
            else:
                setattr(holder, name, before)
        del self._undo[:]

    def replace(self, holder, name, wrap):
        """Put a function around one of a module or class."""
        before = vars(holder).get(name)
        wrapped = isinstance(before, (staticmethod, classmethod))
        around = wrap(before.__func__ if wrapped else getattr(holder, name))
        self._undo.append((holder, name, before))
        setattr(holder, name, type(before)(around) if wrapped else around)

    # ---- datasets of PyTorch

    def watch(self, kind):
        """See to the instances of a Dataset class when they are built."""
        if "__init__" not in vars(kind) or getattr(vars(kind)["__init__"], "_goldore", None) is self:
            return

        def wrap(original):
            from functools import wraps

            @wraps(original)
            def build(dataset, *args, **fields):
                building = vars(self._building).setdefault("cuts", {})  # by the id of what is being built
                outermost = id(dataset) not in building
                building.setdefault(id(dataset))
                try:
                    original(dataset, *args, **fields)
                    self._built(dataset, kind, building, outermost)
                finally:
                    if outermost:
                        del building[id(dataset)]

            build._goldore = self
            return build

        self.replace(kind, "__init__", wrap)

    def _built(self, dataset, kind, building, outermost):
        """Apply the index to a dataset after one of its constructors."""
        cut = building[id(dataset)]
        trusted = kind.__module__.startswith(_TRUSTED)
        if cut is None and (trusted or outermost):
            building[id(dataset)] = self.meet(dataset, trusted=trusted, finished=outermost)
        elif cut is not None and outermost:
            self._finish(dataset, cut, trusted)

    def meet(self, dataset, trusted=False, finished=True):
        """Apply the index to a Dataset of PyTorch if it is about it.

        Args:
            dataset: which.
            trusted: whether its class is known to read what its fields hold.
            finished: whether its constructors have all run.

        Returns:
            What was cut, or None.
        """
        size = self.index.size
        mark = _mark(dataset)
        if mark is not None:
            if mark not in [each.index.sha for each in OPEN]:
                self.refuse(dataset, "it was saved when the index %s had cut it; make it anew" % mark)
            return None
        if is_subset(dataset) and _mark(dataset.dataset) is not None:
            return None
        why = _STREAM if is_stream(dataset) else ""
        if not why and any(map(self.index.fits, labels_of(dataset, size))):
            if length(dataset) in (size, -1) or not finished:
                return self._cut(dataset, trusted, finished)
            why = "its fields hold the samples of the index, but it has another number of samples itself"
        if finished:
            self.see(dataset, why)
        return None

    def _cut(self, dataset, trusted, finished):
        from .samples import read, same, spread

        keep = self._positions(dataset)
        cut = Cut(keep, self.index.size)
        probes = spread(len(keep))
        try:
            before = None if trusted else read(dataset, [keep[each] for each in probes])
            if is_subset(dataset):
                cut.field(dataset, "indices", dataset.indices, depth=0)
            else:
                cut.holder(dataset)
            if not trusted and not same(before, read(dataset, probes)):
                raise TypeError("its samples do not follow its fields")
        except Exception as error:
            cut.undo()
            self.refuse(dataset, str(error) or type(error).__name__)
        vars(dataset)[MARK] = self.index.sha
        if finished:
            self.applied(dataset)
        return cut

    def _is_whole(self, dataset):
        size = self.index.size
        return length(dataset) == size and any(map(self.index.fits, labels_of(dataset, size)))

    def _positions(self, dataset):
        """Where the kept samples stand. Labels do not tell the order within a class; names of files do."""
        keep, paths = self.index.keep, self.index.paths
        if not paths:
            return keep
        base, rows = dataset, range(self.index.size)
        while is_subset(base):
            base, rows = base.dataset, [base.indices[each] for each in rows]
        size = length(base) if base is not dataset else self.index.size
        found = [
            [names[row] for row in rows]
            for table in tables_in(fields_of(base).values(), size)
            for names in file_names(table)
        ]
        if not found:
            return keep
        places = {tuple(_places(names, keep, paths)) for names in found} - {()}
        if len(places) > 1:
            self.refuse(dataset, "its fields name the files in different orders")
        return list(places.pop()) if places else self.refuse(dataset, "its files are others")

    def _finish(self, dataset, cut, trusted):
        """See what constructors of subclasses have made of a dataset that was cut in one of torchvision's."""
        again = None if trusted else next(_read_again(dataset, cut), None)
        if again is not None:
            cut.undo()
            if self._is_whole(dataset):
                cut = self._cut(dataset, trusted=False, finished=False)
                again = next(_read_again(dataset, cut), None)
        if again is not None:
            self.refuse(dataset, "its class reads its %s again by itself" % again)
        self.applied(dataset)

    # ---- what is no Dataset of PyTorch

    def loaded(self, value, depth=_DEPTH):
        """What torch.load gave, with the training set in it cut."""
        size = self.index.size
        if is_dataset(value):
            self.meet(value)
            return value
        if kind_of(value) and is_table(value, size) and any(map(self.index.fits, columns_of(value))):
            if isinstance(value, (list, tuple)) and not is_label(value[0]):  # samples with their labels
                return self._cut_loaded(value)
            self.see("torch.load", _LABELS_ALONE, size)
            return value
        parts = parts_of(value)
        tables = [part for part in parts.values() if is_table(part, size)]
        if any(self.index.fits(labels) for table in tables for labels in columns_of(table)):
            if len(tables) > 1:
                return self._cut_loaded(value)
            self.see("torch.load", _LABELS_ALONE, size)
            return value
        return with_parts(
            value, {key: self.loaded(part, depth - 1) for key, part in parts.items()} if depth else {}
        )

    def _cut_loaded(self, value):
        try:
            cut = Cut(self.index.keep, self.index.size).value(value, "entry", depth=1)
        except TypeError as error:
            self.refuse("torch.load", str(error))
        self.applied("torch.load")
        return cut

    def arrow(self, value):
        """A Dataset of Hugging Face, or a dictionary of them by split, with the training set cut."""
        if isinstance(value, dict):
            for key in list(value):
                value[key] = self.arrow(value[key])
            return value
        if kind_of(value) != ("datasets", "Dataset"):
            self.see(value, _STREAM)
            return value
        if length(value) == self.index.size and any(map(self.index.fits, columns_of(value))):
            self.applied(value)
            return value.select(self.index.keep)
        self.see(value, labels=next(columns_of(value), None))
        return value

    # ---- telling

    def applied(self, what):
        """Tell that the index was applied."""
        index = self.index
        self.tell("applied", what=_name(what), kept=len(index.keep), size=index.size, sha=index.sha)

    def refuse(self, what, why):
        """End the program: this is what the index is about, and the index cannot be applied.

        Raises:
            Refusal, or what this hook was given instead.
        """
        index = self.index
        sentence = "%s holds the %d samples that %s is about, but %s." % (
            _name(what),
            index.size,
            index.file,
            why,
        )
        self.tell("refused", why=sentence)
        raise self._refusal(sentence)

    def see(self, what, why="", size=None, labels=None):
        """Tell of a dataset that was left alone, once of each kind and length."""
        size = length(what) if size is None else size
        name, close = _name(what), size == self.index.size
        if not close and (name, size) in self._seen:
            return
        if labels is None and is_dataset(what) and size > 0:
            labels = next(labels_of(what, size), None)
        digest = None if labels is None else labels_digest(labels)
        with self._lock:
            if len(self._seen) > _MOST_SEEN or (name, size, digest) in self._seen:
                return
            self._seen.update([(name, size), (name, size, digest)])
        if not why and digest is None:
            why = "it shows no labels"
        elif not why:
            why = "its labels are others, or in another order" if close else "another number of samples"
        self.tell("seen", what=name, length=size, digest=digest, why=why, close=close)

    def tell(self, event, **fields):
        """Add an event to the log."""
        if fields:
            import json

            line = json.dumps(dict(fields, event=event, process=os.getpid()))
        else:
            line = '{"event": "%s", "process": %d}' % (event, os.getpid())  # json takes long to import
        try:
            handle = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(handle, (line + "\n").encode("ascii"))
            finally:
                os.close(handle)
        except OSError:  # whoever reports finds nothing, and says so
            pass


def _mark(dataset):
    return getattr(dataset, "__dict__", {}).get(MARK)


def _read_again(dataset, cut):
    """The fields of a dataset in which something is back that was dropped."""
    after = {id(each[3]) for each in cut.replaced}
    names = {name: len(table) for _, name, _, table in cut.replaced}
    kept, dropped = set(), set()
    for _, _, before, table in cut.replaced:
        kept.update(*file_names(table))
        dropped.update(*file_names(before))
    dropped = {os.path.normpath(each) for each in dropped - kept}
    for name, value in fields_of(dataset).items():
        if id(value) in after:
            continue
        if length(value) > names.get(name, length(value)):
            yield name
        for table in [value] + list(parts_of(value).values()):
            if any(not dropped.isdisjoint(map(os.path.normpath, each)) for each in file_names(table)):
                yield name


def _same_files(names, kept):
    """Whether these may be the same files: of two paths of one file, one ends in the other."""
    return len(names) == len(kept) and all(map(_same_file, names, kept))


def _same_file(one, other):
    one, other = ("/" + os.path.splitext(each)[0] for each in (one, other))  # suffixes may differ
    return one.endswith(other) or other.endswith(one)


def _places(names, keep, paths):
    """Where the kept files stand among these, ascending: at the kept positions or elsewhere, or []."""
    if _same_files([names[each] for each in keep], paths):
        return keep
    depth = paths[0].count("/") + 1
    places = {}
    for place, name in enumerate(names):
        end = "/".join(os.path.splitext(name)[0].split("/")[-depth:])
        places.setdefault(end, []).append(place)
    found = [places.get(os.path.splitext(each)[0], ()) for each in paths]
    return sorted(each[0] for each in found) if all(len(each) == 1 for each in found) else []


def _name(what):
    if isinstance(what, str):
        return what
    kind = type(what)
    for package in ("torchvision.datasets.", "torch.utils.data."):
        if kind.__module__.startswith(package):
            return package + kind.__qualname__
    hidden = kind.__module__ in ("builtins", "__main__")
    return kind.__qualname__ if hidden else kind.__module__ + "." + kind.__qualname__
