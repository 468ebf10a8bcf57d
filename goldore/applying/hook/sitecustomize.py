"""Python runs this at its start where this folder is on PYTHONPATH: it starts the hook and steps aside.

The folder leaves sys.path again, and the sitecustomize that it hides, if there is one, runs as it would have.
"""

import importlib.machinery
import importlib.util
import os
import sys


def _step_aside():
    here = os.path.dirname(os.path.abspath(__file__))
    import goldore_hook

    goldore_hook.start()
    sys.path[:] = [each for each in sys.path if os.path.abspath(each or os.curdir) != here]
    hidden = importlib.machinery.PathFinder.find_spec("sitecustomize")
    if hidden is not None:
        module = importlib.util.module_from_spec(hidden)
        sys.modules["sitecustomize"] = module
        hidden.loader.exec_module(module)


_step_aside()
