"""Where programs read training sets: what is done to a module once it has been imported."""

import os
import sys


def _torch_dataset(hook, module):
    """Every Dataset class, now and later."""
    base = module.Dataset
    waiting = [base]
    while waiting:
        kind = waiting.pop()
        hook.watch(kind)
        waiting.extend(kind.__subclasses__())
    inherited = vars(base).get("__init_subclass__")

    def init_subclass(kind, **fields):
        if inherited is not None:
            inherited.__func__(kind, **fields)
        else:
            super(base, kind).__init_subclass__(**fields)
        hook.watch(kind)

    hook.replace(base, "__init_subclass__", lambda _: classmethod(init_subclass))


def _torch_loader(hook, module):
    """DataLoaders, for datasets that were filled after they had been built."""

    def wrap(original):
        from functools import wraps

        @wraps(original)
        def build(loader, dataset, *args, **fields):
            from .tables import is_dataset

            inner = dataset
            while is_dataset(inner):
                hook.meet(inner)
                inner = getattr(inner, "__dict__", {}).get("dataset")
            original(loader, dataset, *args, **fields)

        return build

    hook.replace(module.DataLoader, "__init__", wrap)


def _torch_load(hook, module):
    before = module.load
    _after(hook, module, "load", hook.loaded)
    torch = sys.modules.get("torch")
    if torch is not None and vars(torch).get("load") is before:  # it was imported before
        hook.replace(torch, "load", lambda _: module.load)


def _arrow_builder(hook, module):
    kind = getattr(module, "DatasetBuilder", None)
    if kind is not None:  # else it is a module of the program's own
        _after(hook, kind, "as_dataset", hook.arrow)
        _after(hook, kind, "as_streaming_dataset", hook.arrow)


def _arrow_dataset(hook, module):
    kind = getattr(module, "Dataset", None)
    if hasattr(kind, "load_from_disk"):
        _after(hook, kind, "load_from_disk", hook.arrow)


def _after(hook, holder, name, see):
    """Let what a function returns go through another."""

    def wrap(original):
        from functools import wraps

        @wraps(original)
        def call(*args, **fields):
            return see(original(*args, **fields))

        return call

    if hasattr(holder, name):
        hook.replace(holder, name, wrap)


def _tfds_builder(hook, module):
    def wrap(original):
        from functools import wraps

        @wraps(original)
        def as_dataset(builder, split=None, **fields):
            from .tfds import kept

            return kept(hook, builder, original, split, fields)

        return as_dataset

    def unable(original):
        from functools import wraps

        @wraps(original)
        def as_data_source(builder, *args, **fields):
            hook.see("tfds:%s" % builder.name, "it is read as a data source; read it with as_dataset", -1)
            return original(builder, *args, **fields)

        return as_data_source

    hook.replace(module.DatasetBuilder, "as_dataset", wrap)
    if hasattr(module.DatasetBuilder, "as_data_source"):
        hook.replace(module.DatasetBuilder, "as_data_source", unable)


def _child_processes(hook, module):
    """Children whose environment the program makes itself get the variables all the same."""
    place = 10  # of env among the arguments of Popen
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

    def with_variables(environment):
        """The environment for a child, None if it is right as it is."""
        given = os.environ if environment is None else environment
        paths = given.get("PYTHONPATH", "").split(os.pathsep)
        if here in paths and all(name in given for name in hook.variables):
            return environment
        paths = [here] + [each for each in paths if each and each != here]
        return dict(given, PYTHONPATH=os.pathsep.join(paths), **hook.variables)

    def wrap(original):
        from functools import wraps

        @wraps(original)
        def build(popen, *args, **fields):
            if len(args) > place:
                args = args[:place] + (with_variables(args[place]),) + args[place + 1 :]
            else:
                fields["env"] = with_variables(fields.get("env"))
            original(popen, *args, **fields)

        return build

    if hook.variables:
        hook.replace(module.Popen, "__init__", wrap)


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


class Finder:
    """Opens a door as soon as its module has run; for `sys.meta_path`."""

    def __init__(self, hook):
        self._hook = hook

    def find_spec(self, name, path=None, target=None):
        """Find a module as Python does, and see to it when it has run."""
        if name not in DOORS:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
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
            DOORS[name](self._hook, module)

        loader.exec_module = exec_module
