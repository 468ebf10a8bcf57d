"""The libraries of the extra "report", which the rest of goldore does without."""

from importlib.util import find_spec

from goldore.errors import GoldoreError

_NEEDED = {"matplotlib": "matplotlib", "jinja2": "Jinja2"}


def check_report_extra() -> None:
    """See that the libraries which draw figures and lay out pages are installed.

    Raises:
        GoldoreError: if one is missing; the message says how to install them.
    """
    missing = [name for module, name in _NEEDED.items() if find_spec(module) is None]
    if missing:
        raise GoldoreError(
            f"pages and figures need {' and '.join(missing)}; install them with: "
            "pip install matplotlib jinja2"
        )
