"""What goldore inspect shows of an index file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from goldore.wording import count, percent, reliability

from .screen import class_cell, fields, line, out, show_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from goldore.selection.index_file import Index

MAX_ROWS = 20
_FACTS = {
    "criterion": "criterion",
    "strategy": "rule",
    "rule": "how much",
    "scope": "per",
    "seed": "seed",
    "rank_reliability": "reliability",
    "halves_overlap": "halves agree",
    "score_file": "scores",
    "order": "order",
    "fingerprint": "fingerprint",
}


_AMOUNTS = {
    "keep_ratio": "a share of {} is kept",
    "drop_ratio": "a share of {} is dropped",
    "keep_range": "the part from {} of the order is kept",
    "keep_per_class": "{} samples of each class are kept",
}


def _amount(rule: object) -> str:
    """The rule of a selection, as its provenance has it, in words."""
    name, _, value = str(rule).partition(" ")
    return _AMOUNTS[name].format(value.replace(":", " to ")) if name in _AMOUNTS else str(rule)


_SHOWN: "dict[str, Callable[[Any], str]]" = {
    "rule": _amount,
    "rank_reliability": lambda value: reliability(value) if isinstance(value, float) else str(value),
    "halves_overlap": lambda value: percent(value) if isinstance(value, float) else str(value),
}


def is_index_file(path: Path) -> bool:
    """Whether a path names an index file, and no score file or list of scores."""
    from goldore.files.untrusted import INDEX_BYTES, read_hdf5, read_json
    from goldore.selection.index_file import SUFFIXES
    from goldore.store import is_score_file

    if path.suffix not in SUFFIXES or not path.is_file() or is_score_file(path):
        return False
    if path.suffix not in (".json", ".h5"):
        return True
    try:
        if path.suffix == ".json":
            return isinstance(read_json(path, INDEX_BYTES), dict)
        return len(read_hdf5(path, {"indices": "biuf"})) == 1
    except (OSError, ValueError, RuntimeError):
        return False


def index_document(path: Path, index: "Index") -> dict[str, Any]:
    """An index file as JSON values."""
    return {"file": str(path), **index.provenance, "kept": len(index.indices)}


def show_index(path: Path, index: "Index") -> None:
    """Say what an index file keeps, and how that was chosen."""
    about, console = index.provenance, out()
    total, kept = about.get("num_samples"), len(index.indices)
    of = (
        f" of the {count(total)} samples ({kept / total:.2%}) of {about.get('dataset')}"
        if total
        else " samples"
    )
    line(console, f"{path}: keeps {count(kept)}{of}", "bold")
    rows = {
        label: _SHOWN.get(name, str)(about[name])
        for name, label in _FACTS.items()
        if about.get(name) not in (None, "")
    }
    rows["positions"] = f"{index.indices[0]} to {index.indices[-1]}"
    fields(console, rows if about else rows | {"provenance": "none: positions alone"})
    sizes = about.get("kept_per_class")
    names = about.get("class_names")
    if not isinstance(sizes, list) or not isinstance(names, list) or len(sizes) != len(names):
        return
    shown: Sequence[int] = range(len(sizes))
    if len(sizes) > MAX_ROWS:
        shown = sorted(shown, key=lambda label: (sizes[label], label))[:MAX_ROWS]
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    table.add_column("kept", justify="right")
    for each in shown:
        table.add_row(class_cell(console, each, str(names[each])), count(sizes[each]))
    show_table(console, table)
    if len(sizes) > MAX_ROWS:
        line(
            console,
            f"the {MAX_ROWS} classes with the fewest of {count(len(sizes))}; at most {count(max(sizes))} are "
            "kept",
        )
