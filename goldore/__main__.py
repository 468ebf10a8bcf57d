"""`python -m goldore`: the command line, from an installation or straight from a checkout."""

import importlib.util
import os
import sys
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parent.parent


def _command_line_from_checkout() -> None:
    """Let the checkout's folder cli/ be imported under the name it has when installed, goldore_cli."""
    folder = _CHECKOUT / "cli"
    spec = importlib.util.spec_from_file_location(
        "goldore_cli", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules["goldore_cli"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    try:
        if (_CHECKOUT / "pyproject.toml").is_file() and (_CHECKOUT / "cli" / "app.py").is_file():
            _command_line_from_checkout()  # never pair this checkout with another one's command line
        importlib.import_module("goldore_cli.app").main()
    except KeyboardInterrupt:  # while importing; see goldore_cli.app on why not by sys.exit
        os._exit(130)
