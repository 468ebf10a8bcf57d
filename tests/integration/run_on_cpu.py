"""Runs a script or module of a clone without a GPU and without its published data.

Usage: python run_on_cpu.py [--cuda-to-cpu] (SCRIPT | -m MODULE) [ARGUMENT]...

torchvision takes the made CIFAR files although their checksums are others, data loaders start no workers, and
`np.int` exists. Image files that are opened in the folder GOLDORE_PROBE_FILES are recorded.
With --cuda-to-cpu whatever asks for a CUDA device gets the CPU.
"""

import importlib.util
import os
import runpy
import sys
from pathlib import Path

import numpy as np


def main():
    arguments = sys.argv[1:]
    to_cpu = arguments[0] == "--cuda-to-cpu"
    arguments = arguments[to_cpu:]
    for name, plain in (("int", int), ("float", float), ("bool", bool)):
        if name not in vars(np):
            setattr(np, name, plain)
    if importlib.util.find_spec("torch"):
        accept_made_files()
        start_no_workers()
        if to_cpu:
            move_cuda_to_cpu()
    if os.environ.get("GOLDORE_PROBE_FILES"):
        import goldore_probe

        goldore_probe.record_files(os.environ["GOLDORE_PROBE_FILES"])
    if arguments[0] == "-m":
        sys.path[0] = str(Path.cwd())
        sys.argv = arguments[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        script = Path(arguments[0]).resolve()
        sys.path[0] = str(script.parent)
        sys.argv = arguments
        runpy.run_path(str(script), run_name="__main__")


def accept_made_files():
    from torchvision.datasets import cifar

    cifar.check_integrity = lambda path, md5=None: Path(path).is_file()


def start_no_workers():
    import torch

    original = torch.utils.data.DataLoader.__init__

    def without_workers(self, *args, **kwargs):
        kwargs.update(num_workers=0, prefetch_factor=None, persistent_workers=False, pin_memory=False)
        original(self, *args, **kwargs)

    torch.utils.data.DataLoader.__init__ = without_workers


def move_cuda_to_cpu():
    """Rewrites CUDA devices in every call of torch; bare numbers are devices in `.to` and `.cuda` only."""
    import torch
    from torch.overrides import TorchFunctionMode

    def plain(value):
        is_cuda = (isinstance(value, str) and value.split(":")[0] == "cuda") or (
            isinstance(value, torch.device) and value.type == "cuda"
        )
        return "cpu" if is_cuda else value

    class OnCpu(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            kwargs = {name: plain(value) for name, value in (kwargs or {}).items()}
            if func is torch.Tensor.cuda:
                return args[0]
            if func is torch.Tensor.to and len(args) > 1 and type(args[1]) is int:
                args = (args[0], "cpu", *args[2:])
            return func(*(plain(value) for value in args), **kwargs)

    original_to = torch.nn.Module.to

    def module_to(self, *args, **kwargs):
        args = tuple("cpu" if type(value) is int else plain(value) for value in args)
        return original_to(self, *args, **{name: plain(value) for name, value in kwargs.items()})

    original_load = torch.load

    def load(*args, **kwargs):
        kwargs["map_location"] = "cpu"
        return original_load(*args, **kwargs)

    def nothing(*_args, **_kwargs):
        return None

    torch.nn.Module.cuda = lambda self, device=None: self
    torch.nn.Module.to = module_to
    torch.load = load
    torch.cuda.synchronize = torch.cuda.empty_cache = torch.cuda.set_device = nothing
    OnCpu().__enter__()


if __name__ == "__main__":
    main()
