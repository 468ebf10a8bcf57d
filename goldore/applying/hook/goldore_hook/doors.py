"""Where programs read training sets: what is done to a module once it has been imported.

What is put there stays, and does nothing while no hook is open.
"""

import os
import sys
from _thread import _local  # of threading, which takes longer to import

OPEN = []
"""The hooks at work in this process."""


def enter(hook):
    """Let a hook work: through the doors of modules that are there, and of others as soon as they are."""
    if not OPEN:
        sys.meta_path.insert(0, _FINDER)
    OPEN.append(hook)
    for name in DOORS:
        if name in sys.modules:
            _open(name, sys.modules[name])


def leave(hook):
    """Let a hook work no more."""
    OPEN.remove(hook)
    if not OPEN and _FINDER in sys.meta_path:
        sys.meta_path.remove(_FINDER)


def _open(name, module):
    if getattr(module, "_goldore_open", False):
        return
    DOORS[name](module)
    module._goldore_open = True


class _Finder:
    """Opens a door as soon as its module has run; for `sys.meta_path`."""

    def find_spec(self, name, path=None, target=None):
        """Find a module as Python does, and see to it when it has run."""
        if name not in DOORS:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = None if find is None else find(name, path, target)
            if spec is not None:
                self._prepare(name, spec.loader)
                return spec
        return None

    def _prepare(self, name, loader):
        run = getattr(loader, "exec_module", None)
        if run is None:  # no code of Python
            return

        def exec_module(module):
            del loader.exec_module
            run(module)
            _open(name, module)

        loader.exec_module = exec_module


_FINDER = _Finder()


class Around:
    """A method with something around it when it is called on an instance.

    Asked of its class, and when it is pickled, it is the method itself, as whoever looks at it expects.

    Args:
        method: the method.
        call: gets the method, the instance and the arguments. It has no names of its own for these, since the
            arguments may have any.
    """

    def __init__(self, method, call):
        self._method, self._call = method, call

    def __get__(self, instance, owner=None):
        """The method of a class, or what is called on an instance."""
        if instance is None:
            return self._method
        from functools import partial

        return partial(self._call, self._method, instance)

    def __reduce__(self):
        """As the method, for libraries that pickle classes by their content."""
        from types import SimpleNamespace

        return getattr, (SimpleNamespace(method=self._method), "method")


def _around(kind, name, call):
    setattr(kind, name, Around(getattr(kind, name), call))


def _after(holder, name, see):
    """Let what a function gives go through a method of each hook."""
    function = vars(holder).get(name)
    if function is None:
        return
    wrapped = isinstance(function, (staticmethod, classmethod))

    def wrap(original):
        from functools import wraps

        @wraps(original)
        def call(*args, **fields):
            value = original(*args, **fields)
            for hook in OPEN:
                value = see(hook)(value)
            return value

        return call

    around = wrap(function.__func__ if wrapped else function)
    setattr(holder, name, type(function)(around) if wrapped else around)


# ---------------------------------------------------------------------------------------------------- PyTorch

_BUILDING = _local()
_WAITING = set()  # ids of datasets to be met when they are first read


def _torch_dataset(module):
    """Every Dataset class, when one of its instances is made: no class can be missed there."""
    base = module.Dataset

    def new(*args, **fields):
        kind = args[0]
        if OPEN:
            _put_around(kind, "__init__", _construct)
        inherited = super(base, kind).__new__
        if inherited is object.__new__ and kind.__init__ is not object.__init__:
            return inherited(kind)
        return inherited(*args, **fields)  # of object, it refuses arguments

    new.__name__, new.__qualname__ = "__new__", base.__qualname__ + ".__new__"
    base.__new__ = new


def _put_around(kind, name, call):
    """Put something around a method of a class, in the class that defines it."""
    for each in kind.__mro__:
        found = vars(each).get(name)
        if found is not None:
            if each is not object and not isinstance(found, Around):
                try:
                    setattr(each, name, Around(getattr(each, name), call))
                except (TypeError, AttributeError):  # of C, or closed by its metaclass
                    pass
            return


def watch_reading(dataset):
    """Let the hooks meet a dataset again when the first of its samples is read."""
    _WAITING.add(id(dataset))
    _put_around(type(dataset), "__getitem__", _read)


def stop_watching(dataset):
    """Let it be read as it is."""
    _WAITING.discard(id(dataset))


def _read(*args, **fields):
    method, dataset = args[:2]
    if _WAITING and id(dataset) in _WAITING:
        for hook in OPEN:
            hook.meet(dataset)
    return method(*args[1:], **fields)


def _construct(*args, **fields):
    """Call a constructor; the hooks meet the dataset when the outermost one has ended."""
    from .tables import is_dataset

    constructor, dataset = args[:2]
    building = vars(_BUILDING).setdefault("ids", set())
    if id(dataset) in building or not OPEN or not is_dataset(dataset):
        constructor(*args[1:], **fields)
        return
    building.add(id(dataset))
    try:
        constructor(*args[1:], **fields)
    finally:
        building.discard(id(dataset))
    for hook in OPEN:
        hook.meet(dataset)


def _torch_loader(module):
    def build(*args, **fields):
        given = [fields.get("sampler"), fields.get("batch_sampler")] + list(args[5:7])
        has_sampler = any(each is not None for each in given)
        for hook in OPEN:
            if "dataset" in fields:
                fields["dataset"] = hook.meet_used(fields["dataset"], has_sampler)
            else:  # after the constructor and the loader
                args = args[:2] + tuple(hook.meet_used(each, has_sampler) for each in args[2:3]) + args[3:]
        args[0](*args[1:], **fields)

    _around(module.DataLoader, "__init__", build)


def _torch_load(module):
    before = module.load
    _after(module, "load", lambda hook: hook.loaded)
    torch = sys.modules.get("torch")
    if torch is not None and vars(torch).get("load") is before:  # it was imported before
        torch.load = module.load


# ------------------------------------------------------------------- Hugging Face, TensorFlow Datasets


def _arrow_builder(module):
    kind = getattr(module, "DatasetBuilder", None)
    if kind is not None:  # else it is a module of the program's own
        _after(kind, "as_dataset", lambda hook: hook.arrow)
        _after(kind, "as_streaming_dataset", lambda hook: hook.arrow)


def _arrow_dataset(module):
    kind = getattr(module, "Dataset", None)
    if hasattr(kind, "load_from_disk"):
        _after(kind, "load_from_disk", lambda hook: hook.arrow)
        _after(kind, "from_file", lambda hook: hook.arrow)


def _tfds_builder(module):
    def as_dataset(*args, **fields):
        from .tfds import kept

        read, builder, *rest = args
        split = rest[0] if rest else fields.pop("split", None)
        return kept(OPEN, builder, read, split, fields)

    def as_data_source(*args, **fields):
        for hook in OPEN:
            name = "tfds:%s" % args[1].name
            hook.see(name, "it is read as a data source; read it with as_dataset", -1)
        return args[0](*args[1:], **fields)

    _around(module.DatasetBuilder, "as_dataset", as_dataset)
    if hasattr(module.DatasetBuilder, "as_data_source"):
        _around(module.DatasetBuilder, "as_data_source", as_data_source)


# ----------------------------------------------------------------------------------- child processes


def _child_processes(module):
    """Children whose environment the program makes itself get the variables all the same."""
    place = 12  # of env among the arguments of `build`
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

    def with_variables(environment):
        """The environment for a child, None if it is right as it is."""
        given = os.environ if environment is None else environment
        variables = {name: value for hook in OPEN for name, value in hook.variables.items()}
        paths = os.fsdecode(given.get("PYTHONPATH", "")).split(os.pathsep)
        if not variables or (here in paths and all(name in given for name in variables)):
            return environment
        paths = [here] + [each for each in paths if each and each != here]
        return dict(given, PYTHONPATH=os.pathsep.join(paths), **variables)

    def build(*args, **fields):
        if len(args) > place:
            args = args[:place] + (with_variables(args[place]),) + args[place + 1 :]
        else:
            fields["env"] = with_variables(fields.get("env"))
        args[0](*args[1:], **fields)

    _around(module.Popen, "__init__", build)


DOORS = {
    "torch.utils.data.dataset": _torch_dataset,
    "torch.utils.data.dataloader": _torch_loader,
    "torch.serialization": _torch_load,
    "datasets.builder": _arrow_builder,
    "datasets.arrow_dataset": _arrow_dataset,
    "tensorflow_datasets.core.dataset_builder": _tfds_builder,
    "subprocess": _child_processes,
}
"""What is done to a module, by its name."""
