"""The documents of `goldore inspect --json`: their keys, in order, and the kinds of their values stay."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from tests.report.making import ODD, noise, scored

STORED = Path(__file__).with_name("documents.json")
KEPT = ("--criterion", "MonteCarlo_small", "--keep-ratio", "0.3")


def shape(value):
    """Keys in order, the first of each list, and the name of each value's type."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    return [shape(each) for each in value[:1]] if isinstance(value, list) else type(value).__name__


def documents(folder):
    """By what they are about, a shape each."""
    dataset = noise((20, 17, 23), names=("left", "1", "right"))
    first, second = (scored(folder / f"{seed}.h5", dataset, 3, 40, seed=seed) for seed in range(2))
    asked = {
        "both kinds of trials": [first],
        "with curves": [first, "--verbose"],
        "kept and samples": [first, *KEPT, "--sample", "0"],
        "compared": [first, second],
        "losses": [scored(folder / "losses.h5", dataset, 1), "--verbose"],
        "utility": [scored(folder / "utility.h5", dataset, 0, 1), "--verbose"],
        "imported": [ODD["imported"](folder / "imported.h5"), *KEPT, "--sample", "1"],
        "without values": [ODD["the only score all missing"](folder / "missing.h5")],
    }
    found = {}
    for name, arguments in asked.items():
        done = CliRunner().invoke(app, ["inspect", *map(str, arguments), "--json"])
        assert done.exit_code == 0, done.output
        found[name] = shape(json.loads(done.stdout))
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return documents(tmp_path_factory.mktemp("documents"))


@pytest.mark.parametrize("name", json.loads(STORED.read_text(encoding="utf-8")))
def test_a_document_has_its_keys_in_order_and_its_kinds_of_values(found, name):
    stored = json.loads(STORED.read_text(encoding="utf-8"))[name]
    assert json.dumps(found[name], indent=1) == json.dumps(stored, indent=1)


def test_all_documents_are_stored(found):
    assert list(found) == list(json.loads(STORED.read_text(encoding="utf-8")))
