"""The exact utility, beside every subset that there is and beside drawn nearest neighbours."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from goldore import ConvNetConfig, KernelUtilityRecipe
from goldore.runs.evaluation import evaluation_sets
from goldore.runs.job import complete_recipe
from goldore.training import exact
from goldore.training.embedding import Untrained
from goldore.training.exact import ExactUtility, chances, group_size, similarities
from goldore.training.execution import Execution
from goldore.training.images import DeviceDataset
from goldore.trials.draws import make_strata
from goldore.trials.seeds import group_of, make_kernel_trials

CPU = torch.device("cpu")
SIZES = [3, 2, 4]
PLACES = [range(3), range(3, 5), range(5, 9)]


def by_enumeration(similarity, label, k):
    """Share of all subsets with the sample, drawn with replacement, whose most similar one has the class."""
    found = np.zeros((len(similarity), SIZES[label]))
    for row, values in enumerate(similarity.tolist()):
        for place, sample in enumerate(PLACES[label]):
            outcomes = []
            for own in itertools.product(PLACES[label], repeat=k - 1):
                best = max(values[each] for each in (sample, *own))
                groups = [itertools.product(PLACES[o], repeat=k) for o in range(3) if o != label]
                outcomes += [
                    best > max(values[each] for group in others for each in group)
                    for others in itertools.product(*groups)
                ]
            found[row, place] = np.mean(outcomes)
    return found


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("label", [0, 1, 2])
@pytest.mark.parametrize("ties", [False, True])
def test_all_subsets_of_a_small_set_say_the_same(k, label, ties):
    similarity = torch.randn(5, 9, generator=torch.Generator().manual_seed(k))
    if ties:
        similarity = similarity.round()
    found = chances(similarity, SIZES, label, k).numpy()
    np.testing.assert_allclose(found, by_enumeration(similarity, label, k), atol=1e-6)


def test_drawn_neighbours_say_the_same_on_average():
    random = np.random.default_rng(0)
    sizes, label, k, draws = [20, 30, 25], 1, 4, 20_000
    similarity = torch.from_numpy(random.normal(size=(1, 75)).astype(np.float32))
    found = chances(similarity, sizes, label, k).numpy()[0]
    values = similarity.numpy()[0]
    starts = np.cumsum([0, *sizes])
    for sample in (0, 7, 29):
        drawn = [
            values[random.integers(start, stop, (draws, k))].max(axis=1)
            for start, stop in itertools.pairwise(starts)
        ]
        drawn[label] = np.maximum(
            values[starts[label] + sample],
            values[random.integers(starts[label], starts[label + 1], (draws, k - 1))].max(axis=1),
        )
        right = (drawn[label] > np.maximum(drawn[0], drawn[2])).mean()
        assert right == pytest.approx(found[sample], abs=4 * 0.5 / draws**0.5)


def setting(dataset, **fields):
    given = {"networks": 2, "subset_per_class": 1, **fields}
    recipe = KernelUtilityRecipe(network=ConvNetConfig(depth=2, width=6), **given)
    recipe = complete_recipe(recipe, dataset)
    arch = recipe.network.architecture(dataset.image_shape, dataset.num_classes)
    data = DeviceDataset(dataset, recipe.mean, recipe.std, CPU)
    strata = make_strata(dataset.labels, dataset.num_classes, 1, recipe.folds, 3)
    evaluations = evaluation_sets(dataset, data, recipe, strata)
    return recipe, arch, data, strata, evaluations


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("split", ["test", "heldout"])
def test_a_trial_is_the_plain_loop(dataset, split, k):
    recipe, arch, data, strata, evaluations = setting(dataset, eval_split=split, subset_per_class=k)
    (trial,) = make_kernel_trials(3, [4])
    found = ExactUtility(data, arch, recipe, strata, evaluations, Execution())(trial)
    untrained = Untrained(data, arch, recipe, group_of(trial, 2), Execution())
    seen = untrained.of(data.images, torch.float16).double()
    for pools, evaluation in zip(strata.pools, evaluations, strict=True):
        shown = untrained.of(evaluation.images, torch.float32).double()
        for label, pool in enumerate(pools):
            mine = shown[evaluation.labels == label]
            cosine = {
                other: (mine @ seen[members].T + 1) / (seen[members].square().sum(1) + 1).sqrt()
                for other, members in enumerate(pools)
            }
            together = torch.cat([cosine[other] for other in range(3)], dim=1)
            right = chances(together, [len(each) for each in pools], label, k).double().numpy()
            right -= right.mean(axis=1, keepdims=True)
            np.testing.assert_allclose(found.values[pool], right.mean(axis=0), atol=2e-4)
            np.testing.assert_allclose(found.halves[0][pool], right[::2].mean(axis=0), atol=2e-4)
            np.testing.assert_allclose(found.halves[1][pool], right[1::2].mean(axis=0), atol=2e-4)
            errors = right.var(axis=0, ddof=1) / len(right)
            np.testing.assert_allclose(found.variances[pool], errors, atol=2e-4)
    assert np.isfinite(found.values).all()


def test_memory_decides_how_much_is_done_at_once_and_nothing_else(dataset, monkeypatch):
    recipe, arch, data, strata, evaluations = setting(dataset)
    (trial,) = make_kernel_trials(3, [0])
    run = ExactUtility(data, arch, recipe, strata, evaluations, Execution())
    whole = run(trial)
    held = []
    original = exact.similarities
    monkeypatch.setattr(exact, "similarities", lambda *given: held.append(original(*given)) or held[-1])
    monkeypatch.setattr(exact, "_NUMBERS", 2 * len(dataset.labels))
    monkeypatch.setattr(exact, "_SAMPLES", 7)
    parts = run(trial)
    assert max(each.numel() for each in held) <= 2 * len(dataset.labels)
    np.testing.assert_allclose(parts.values, whole.values, atol=1e-6)
    np.testing.assert_allclose(parts.variances, whole.variances, atol=1e-6)
    np.testing.assert_allclose(parts.halves, whole.halves, atol=1e-6)


def test_similarity_ranks_as_the_cosine():
    random = torch.Generator().manual_seed(0)
    shown, features = torch.randn(3, 5, generator=random), torch.randn(8, 5, generator=random)
    order = torch.tensor([6, 1, 3])
    found = similarities(shown, features, order)
    one = torch.ones(8, 1)
    cosine = torch.nn.functional.cosine_similarity(
        torch.cat([shown, one[:3]], 1)[:, None], torch.cat([features[order], one[:3]], 1)[None], dim=2
    )
    norms = (shown.square().sum(1, keepdim=True) + 1).sqrt()
    torch.testing.assert_close(found, cosine * norms)


def test_a_single_evaluation_image_has_no_spread(dataset):
    recipe, arch, data, strata, evaluations = setting(dataset, eval_per_class=1)
    found = ExactUtility(data, arch, recipe, strata, evaluations, Execution())(make_kernel_trials(3, [0])[0])
    assert np.isfinite(found.values).all()
    assert np.isnan(found.variances).all()
    assert np.isnan(found.halves[1]).all()


def test_groups_have_networks_of_their_own():
    first, second = make_kernel_trials(0, range(2))
    seeds = [each.seed for trial in (first, second) for each in group_of(trial, 3)]
    assert len({*seeds, first.seed, second.seed}) == 8
    assert [each.seed for each in group_of(first, 3)] == seeds[:3]


def test_an_open_recipe_takes_as_many_networks_as_give_enough_features(dataset):
    def of(width, **fields):
        config = ConvNetConfig(depth=2, width=width)
        arch = config.architecture(dataset.image_shape, dataset.num_classes)
        return group_size(KernelUtilityRecipe(network=config, **fields), arch)

    assert of(2) == 16
    assert of(512) == 1
    assert of(2, networks=3) == 3
    recipe, arch, data, strata, evaluations = setting(dataset)
    with pytest.raises(RuntimeError, match="complete"):
        ExactUtility(data, arch, replace(recipe, networks=None), strata, evaluations, Execution())
