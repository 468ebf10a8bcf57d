import subprocess
import sys

import pytest

import goldore


def test_importing_goldore_imports_nothing_heavy():
    code = "import goldore, sys; print([m for m in ('torch', 'numpy', 'h5py') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


@pytest.mark.parametrize("name", goldore.__all__)
def test_every_public_name_exists_and_is_documented(name):
    assert getattr(goldore, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing"):
        _ = goldore.nothing


def test_a_selection_from_python_goes_to_disk_and_back(dataset, tmp_path):
    recipe = goldore.LossRecipe(network=goldore.ConvNetConfig(depth=1, width=4), epochs=2)
    scores = goldore.score(dataset, trials=2, recipe=recipe, out=tmp_path / "s.h5", device="cpu")
    kept = goldore.prune(scores, scores.score_names[0] + "_large", keep_per_class=5)
    path = kept.save(tmp_path / "keep.npy")
    assert goldore.load_indices(path).tolist() == kept.indices.tolist()
    again = goldore.prune(goldore.load_scores(tmp_path / "s.h5"), "LossInit_large", keep_per_class=5)
    assert again.indices.tolist() == kept.indices.tolist()
    assert goldore.load_index(path).provenance["fingerprint"] == dataset.fingerprint
