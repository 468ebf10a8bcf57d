"""drop_samples and prune against the function of the paper's repository, on the published lists."""

import gzip
import importlib.util

import numpy as np
import pytest
import torch

import goldore

RATIOS = [round(number / 51, 3) for number in range(1, 51)]


@pytest.fixture
def theirs(clones):
    file = clones / "GoldFromOres" / "drop_utils" / "drop.py"
    if not file.is_file():
        pytest.skip(f"there is no {file}")
    spec = importlib.util.spec_from_file_location("their_drop", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("ratio_is", ["drop_ratio", "keep_ratio"])
@pytest.mark.parametrize("name", ["MNIST_LossConverge", "MNIST_MonteCarlo", "CIFAR100_MonteCarlo"])
def test_kept_sets_are_the_same(theirs, shared_data, name, ratio_is, tmp_path, monkeypatch, capsys):
    dataset, score = name.split("_")
    packed = shared_data / "published_scores" / f"{name}.json.gz"
    resource = tmp_path / "drop_utils" / "resource"
    resource.mkdir(parents=True)
    (resource / f"{name}.json").write_bytes(gzip.decompress(packed.read_bytes()))
    monkeypatch.chdir(tmp_path)  # their function looks there
    if dataset == "MNIST":
        labels = goldore.load_dataset(str(shared_data / "mnist")).labels
    else:
        labels = np.random.default_rng(0).permutation(np.repeat(np.arange(100), 500))
    images = torch.arange(len(labels)).reshape(-1, 1, 1, 1)
    classes = [np.flatnonzero(labels == label).tolist() for label in range(labels.max() + 1)]
    arguments = (images, torch.from_numpy(labels), classes, dataset)
    scores = goldore.import_scores(packed, tmp_path / "scores.h5", labels=labels)
    same = 0
    for drops in ("large", "small"):
        for ratio in RATIOS:
            kept, new, members = theirs.drop_samples(*arguments, f"{score}_{drops}", **{ratio_is: ratio})
            ours = goldore.drop_samples(
                *arguments, f"{score}_{drops}", **{ratio_is: ratio}, compat=True, score_dir=packed.parent
            )
            assert torch.equal(kept, ours[0])
            assert torch.equal(new, ours[1])
            assert members == ours[2]
            if score == "LossConverge":
                exact = goldore.prune(scores, f"{score}_{drops}", **{ratio_is: ratio}).indices
                differ = np.setxor1d(exact, kept.flatten().numpy())
                assert np.bincount(labels[differ], minlength=10).max(initial=0) <= 1
                same += len(differ) == 0
    capsys.readouterr()
    if score == "LossConverge":
        print(f"{name}, {ratio_is}: prune keeps the very same in {same} of {2 * len(RATIOS)} cases")  # noqa: T201


def test_exported_lists_keep_the_same_samples_there(theirs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # their function looks there
    recipes = {
        "recipe": goldore.LossRecipe(network=goldore.ConvNetConfig(width=4, depth=1), epochs=2),
        "utility": goldore.UtilityRecipe(
            network=goldore.ConvNetConfig(width=4, depth=1), steps=4, subset_per_class=30, eval_per_class=50
        ),
    }
    names = ("LossInit", "LossConverge", "MonteCarlo")
    scores = goldore.score(
        "FashionMNIST-sample", scores=names, trials=2, utility_trials=30, out="scores.h5", **recipes
    )
    goldore.export_lists(scores, "drop_utils/resource", name="FashionMNIST")
    labels = scores.labels
    images = torch.arange(len(labels)).reshape(-1, 1, 1, 1)
    classes = [np.flatnonzero(labels == label).tolist() for label in range(10)]
    for name in names:
        for drops in ("large", "small"):
            for ratio in (0.25, 0.5, 0.875):  # exact in binary, as their rounding needs
                kept, _, _ = theirs.drop_samples(
                    images,
                    torch.from_numpy(labels),
                    classes,
                    "FashionMNIST",
                    f"{name}_{drops}",
                    drop_ratio=ratio,
                )
                exact = goldore.prune(scores, f"{name}_{drops}", drop_ratio=ratio).indices
                assert np.array_equal(np.sort(kept.flatten().numpy()), exact), (name, drops, ratio)
