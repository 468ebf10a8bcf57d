"""Applying an index to the datasets that a process builds."""

import os
from _thread import allocate_lock  # of threading, which takes longer to import

from . import doors
from .index import Refusal, labels_digest, read_index
from .tables import (
    MARK,
    Cut,
    UncutError,
    columns_of,
    datasets_in,
    fields_of,
    file_names,
    grouped_in,
    is_dataset,
    is_label,
    is_permutation,
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

_LIBRARIES = ("torchvision.datasets", "torch.utils.data")  # classes there read what their fields hold
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
        variables: environment variables that child processes need.
    """

    def __init__(self, index, log, refusal=Refusal, variables=()):
        self._index, self._log, self._refusal = index, log, refusal
        self.variables = dict(variables)
        self._seen, self._lock = set(), allocate_lock()
        self._cuts = 0

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

    def open(self):
        """Begin: datasets that are built from now on are met."""
        doors.enter(self)

    def close(self):
        """End: datasets are built as ever."""
        doors.leave(self)

    # ---- datasets of PyTorch

    def meet(self, dataset):
        """Apply the index to a Dataset of PyTorch if it is about it.

        Args:
            dataset: that was built, or is about to be used.
        """
        doors.stop_watching(dataset)
        if is_subset(dataset) and _mark(dataset.dataset) is not None:
            return
        if self._fits(dataset):
            self._cut(dataset, dataset)
            return
        mark = _mark(dataset)
        if mark is not None and mark not in [each.index.sha for each in doors.OPEN]:
            self.refuse(dataset, "it was saved when the index %s had cut it; make it anew" % mark)
        self._check_rest(dataset)
        if mark is None:
            self.see(dataset)
            if length(dataset) in (self.index.size, -1, 0):  # it may be filled later
                doors.watch_reading(dataset)

    def meet_used(self, dataset, has_sampler=False):
        """Apply the index to what a DataLoader is given: what was filled after it was built, or a plain list.

        Args:
            dataset: of the DataLoader.
            has_sampler: whether positions in it were drawn before.

        Returns:
            What the DataLoader is to use.
        """
        cuts = self._cuts
        if kind_of(dataset) == ("datasets", "Dataset"):
            dataset = self.arrow(dataset)
        elif isinstance(dataset, (list, tuple)):
            dataset = self.loaded(dataset, depth=0, name="a DataLoader's list")
        elif is_dataset(dataset):
            self.meet(dataset)
            for inner in datasets_in(dataset) if _mark(dataset) is None else ():
                if not is_subset(inner) and self._fits(inner):  # filled after the other was built around it
                    self._cut(inner, dataset)
        if has_sampler and self._cuts > cuts:
            self.refuse(dataset, "a sampler was made before it was cut")
        return dataset

    def _check_rest(self, dataset):
        """Refuse a dataset of the kept samples that has something of all samples beside them."""
        size, kept = self.index.size, len(self.index.keep)
        marks = [_mark(each) for each in [dataset] + list(datasets_in(dataset))]
        if size == kept or self.index.sha not in marks or (marks[0] is None and length(dataset) != kept):
            return
        for name, value in fields_of(dataset).items():
            if not is_dataset(value) and next(tables_in([value], size), None) is not None:
                self.refuse(dataset, "beside the kept samples it has %s of all samples" % name)

    def _fits(self, dataset):
        return any(map(self.index.fits, labels_of(dataset, self.index.size)))

    def _cut(self, dataset, reader):
        """Cut a dataset; what reads it must then give the kept samples."""
        index = self.index
        if is_stream(dataset) or length(reader) != index.size:
            many = "it has %d samples itself" % length(reader) if length(reader) >= 0 else "it has no length"
            self.refuse(dataset, _STREAM if is_stream(dataset) else many)
        known = reader is dataset and type(dataset).__module__.startswith(_LIBRARIES)
        group = None if known else grouped_in(dataset, index.size)
        if group is not None:
            self.refuse(dataset, "its %s holds them in groups, which cannot be cut" % group)
        places, of_table = self._places(dataset)
        if not places:
            self.see(dataset, "its files are others")
            return
        for keep in places:
            why = self._cut_at(keep, of_table, dataset, reader, known=known and len(places) == 1)
            if not why:
                return
        self.refuse(dataset, why)

    def _cut_at(self, keep, of_table, dataset, reader, known):
        """Cut a dataset to some positions; why it cannot be, if it cannot."""
        from .samples import Probe

        try:
            probe = None if known else Probe(reader, keep)
        except Exception as error:  # it may not be ready before it is used
            self.miss(dataset, "its samples cannot be read (%s)" % _said(error))
            doors.watch_reading(dataset)
            return ""
        cut = Cut(keep, self.index.size, of_table)
        try:
            if is_subset(dataset):
                cut.field(dataset, "indices", dataset.indices, depth=0)
            else:
                cut.holder(dataset)
            if length(reader) != len(keep):
                raise UncutError("it still has %d samples when all that is in it is cut" % length(reader))
            if probe is not None:
                probe.check()
        except Exception as error:
            cut.undo()
            return str(error) if type(error) is UncutError else "it fails once it is cut (%s)" % _said(error)
        vars(dataset)[MARK] = self.index.sha
        self.applied(dataset)
        return ""

    def _places(self, dataset):
        """Where the kept samples may stand: positions, best first; and in which table they stand elsewhere.

        Labels do not tell the order within a class. Names of files do, where the index has them.
        """
        keep, paths = self.index.keep, self.index.paths
        base, rows = dataset, range(self.index.size)
        while is_subset(base):
            base, rows = base.dataset, [base.indices[each] for each in rows]
        size = length(base) if base is not dataset else self.index.size
        named = [
            (table, [names[row] for row in rows])
            for table in {id(each): each for each in tables_in(fields_of(base).values(), size)}.values()
            for names in file_names(table)
        ]
        if not paths:
            self._check_order(dataset, [names for _, names in named])
            return [keep], {}
        found = [(table, _standing(names, keep, paths)) for table, names in named]
        found = [(table, places) for table, places in found if places]
        if named and not found:
            return [], {}
        of_table = {id(table): places for table, places in found} if base is dataset else {}
        # What a class sets last is what it reads, so that comes first.
        different = {tuple(places): places for _, places in reversed(found)}
        return list(different.values()) or [keep], of_table

    def _check_order(self, dataset, named):
        """Where samples are sorted by class and the index names no files, these must be sorted by name."""
        labels = next(filter(self.index.fits, labels_of(dataset, self.index.size)))
        starts = [at for at in range(len(labels)) if at == 0 or labels[at] != labels[at - 1]]
        if len(starts) > len(set(labels)):
            return
        for names in named:
            for start, end in zip(starts, starts[1:] + [len(labels)]):
                if names[start:end] != sorted(names[start:end]):
                    self.refuse(
                        dataset, "its files stand in an order of its own, and the index does not name them"
                    )

    # ---- what is no Dataset of PyTorch

    def loaded(self, value, depth=_DEPTH, name="torch.load"):
        """What torch.load gave, with the training set in it cut."""
        size = self.index.size
        if is_dataset(value):
            self.meet(value)
            return value
        if kind_of(value) and is_table(value, size) and any(map(self.index.fits, columns_of(value))):
            if isinstance(value, (list, tuple)) and not is_label(value[0]):  # samples with their labels
                return self._cut_loaded(value, [value], name)
            self.see(name, _LABELS_ALONE, size)
            return value
        parts = parts_of(value)
        tables = [part for part in parts.values() if is_table(part, size)]
        if any(self.index.fits(labels) for table in tables for labels in columns_of(table)):
            if len(tables) > 1:
                return self._cut_loaded(value, tables, name)
            self.see(name, _LABELS_ALONE, size)
            return value
        changed = {key: self.loaded(part, depth - 1, name) for key, part in parts.items()} if depth else {}
        return with_parts(value, changed)

    def _cut_loaded(self, value, tables, name):
        if any(map(is_permutation, tables)):
            self.refuse(name, "there is a permutation of their positions beside them, which cannot be cut")
        try:
            cut = Cut(self.index.keep, self.index.size).value(value, "entry", depth=1)
        except UncutError as error:
            self.refuse(name, str(error))
        self.applied(name)
        return cut

    def arrow(self, value):
        """A Dataset of Hugging Face, or a dictionary of them by split, with the training set cut."""
        if isinstance(value, dict):
            for key in list(value):
                value[key] = self.arrow(value[key])
            return value
        if kind_of(value) != ("datasets", "Dataset"):
            self.see(value, _STREAM)
        elif length(value) != self.index.size:
            self.see(value)
        elif any(map(self.index.fits, columns_of(value))):
            self.applied(value)
            return value.select(self.index.keep)
        else:
            self.see(value, labels=next(columns_of(value), None))
        return value

    # ---- telling

    def applied(self, what):
        """Tell that the index was applied."""
        self._cuts += 1
        index = self.index
        self.tell(
            "applied", what=_name(what), key=id(what), kept=len(index.keep), size=index.size, sha=index.sha
        )

    def miss(self, what, why):
        """Tell that the index is about something, and was not applied yet."""
        self.tell("missed", what=_name(what), key=id(what), why=self._sentence(what, why))

    def refuse(self, what, why):
        """End the program: the index is about something, and cannot be applied.

        Raises:
            Refusal, or what this hook was given instead.
        """
        sentence = self._sentence(what, why)
        self.tell("refused", why=sentence)
        raise self._refusal(sentence)

    def _sentence(self, what, why):
        size, file = self.index.size, self.index.file
        return "%s holds the %d samples that %s is about, but %s." % (_name(what), size, file, why)

    def see(self, what, why="", size=None, labels=None):
        """Tell of a dataset that was left alone, once of each kind and length."""
        size = length(what) if size is None else size
        name, close = _name(what), size == self.index.size
        if not close and (name, size) in self._seen:
            return
        if labels is None and is_dataset(what) and size > 0:
            labels = next(labels_of(what, size), None)
        try:
            digest = None if labels is None else labels_digest(labels)
        except TypeError:  # what cannot be counted is no label
            digest = None
        with self._lock:
            if len(self._seen) > _MOST_SEEN or (name, size, digest) in self._seen:
                return
            self._seen.update([(name, size), (name, size, digest)])
        if not why and is_stream(what):
            why = _STREAM
        elif not why and digest is None and size > 0 and close:
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


def _said(error):
    """An error in one line, as a part of a sentence."""
    lines = str(error).strip().splitlines()
    return type(error).__name__ + (": " + lines[0].rstrip(".") if lines else "")


def _same_files(names, kept):
    """Whether these may be the same files: of two paths of one file, one ends in the other."""
    return len(names) == len(kept) and all(map(_same_file, names, kept))


def _same_file(one, other):
    one, other = ("/" + os.path.splitext(each)[0] for each in (one, other))  # suffixes may differ
    return one.endswith(other) or other.endswith(one)


def _standing(names, keep, paths):
    """Where the kept files stand among these, ascending: at the kept positions or elsewhere, or []."""
    if _same_files([names[each] for each in keep], paths):
        return keep
    depth = 1 + min(each.count("/") for some in (names, paths) for each in some)  # names may be bare
    places = {}
    for place, name in enumerate(names):
        places.setdefault(_end(name, depth), []).append(place)
    found = [(each, places.get(_end(each, depth), ())) for each in paths]
    once = {at[0] for each, at in found if len(at) == 1 and _same_file(names[at[0]], each)}
    return sorted(once) if len(once) == len(paths) else []


def _end(name, depth):
    return "/".join(os.path.splitext(name)[0].split("/")[-depth:])


def _name(what):
    if isinstance(what, str):
        return what
    kind = type(what)
    for package in ("torchvision.datasets.", "torch.utils.data."):
        if kind.__module__.startswith(package):
            return package + kind.__qualname__
    plain = kind.__module__ in ("builtins", "__main__")
    return kind.__qualname__ if plain else kind.__module__ + "." + kind.__qualname__
