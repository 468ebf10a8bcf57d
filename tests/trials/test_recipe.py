import json

import pytest

from goldore import ConvNetConfig, LossRecipe, UsageError
from goldore.errors import NewerFormatError
from goldore.networks.config import default_depth


def test_json_brings_back_the_equal_recipe():
    recipe = LossRecipe(
        network=ConvNetConfig(depth=2, norm="batch"), epochs=7, mean=(0.1, 0.2), std=(0.3, 0.4)
    )
    assert LossRecipe.from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"network": 3}', '{"network": {}, "lr": "fast"}', "null"])
def test_other_json_is_not_a_recipe(text):
    with pytest.raises(ValueError):
        LossRecipe.from_json(text)


def test_a_recipe_of_an_older_goldore_takes_the_defaults_and_names_them():
    fields = json.loads(LossRecipe(epochs=7, lr=0.2, precision="bf16").to_json())
    del fields["weight_decay"], fields["precision"], fields["network"]["norm"]
    text = json.dumps(fields)
    recipe = LossRecipe.from_json(text)
    assert recipe == LossRecipe(epochs=7, lr=0.2, precision="float32")
    assert recipe.settings_left_out(text) == {
        "norm": "instance",
        "weight_decay": 5e-4,
        "precision": "float32",
    }
    assert recipe.settings_left_out(recipe.to_json()) == {}


@pytest.mark.parametrize("place", ["", "network"])
def test_a_setting_of_a_newer_goldore_is_named(place):
    fields = json.loads(LossRecipe().to_json())
    (fields[place] if place else fields)["speed"] = 1
    with pytest.raises(NewerFormatError, match="setting 'speed', which this goldore does not know; update"):
        LossRecipe.from_json(json.dumps(fields))


@pytest.mark.parametrize(("epochs", "window"), [(1, 1), (2, 1), (3, 1), (8, 4), (10, 5), (50, 5)])
def test_windows_are_five_epochs_or_half_of_all(epochs, window):
    recipe = LossRecipe(epochs=epochs)
    assert list(recipe.init_window) == list(range(1, window + 1))
    assert list(recipe.converge_window) == list(range(epochs - window + 1, epochs + 1))


@pytest.mark.parametrize(
    ("side", "depth"), [(8, 3), (28, 3), (32, 3), (64, 4), (96, 5), (128, 5), (224, 6), (256, 6), (512, 6)]
)
def test_default_depth_is_that_of_the_literature(side, depth):
    assert default_depth(side) == depth
    assert ConvNetConfig().for_images(side, side).depth == depth


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"epochs": 0}, "`epochs` is 0"),
        ({"epochs": 3, "init_epochs": 4}, "`init_epochs` is 4"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"lr": 0.0}, "`lr`"),
        ({"lr": float("nan")}, "`lr`"),
        ({"lr": float("inf")}, "`lr`"),
        ({"momentum": 1.0}, "`momentum`"),
        ({"weight_decay": -1e-4}, "`weight_decay`"),
        ({"std": (0.0,)}, "`std`"),
        ({"mean": (float("nan"),)}, "`mean`"),
    ],
)
def test_recipes_out_of_range_are_refused(fields, part):
    with pytest.raises(UsageError, match=part):
        LossRecipe(**fields)


@pytest.mark.parametrize(
    "fields", [{"depth": 0}, {"width": 0}, {"norm": "L2"}, {"activation": "tanh"}, {"pooling": "min"}]
)
def test_networks_that_do_not_exist_are_refused(fields):
    with pytest.raises(UsageError, match=next(iter(fields))):
        ConvNetConfig(**fields)


def test_group_norm_needs_channels_in_fours():
    with pytest.raises(UsageError, match="multiple of 4"):
        ConvNetConfig(norm="group", width=6)


def test_images_too_small_for_the_pooling_are_refused():
    with pytest.raises(UsageError, match="too small for 3 pooling blocks"):
        ConvNetConfig().for_images(7, 20)
    assert ConvNetConfig(pooling="none").for_images(7, 20).depth == 3


def test_differences_name_setting_and_both_values():
    mine, theirs = LossRecipe(epochs=30), LossRecipe(epochs=30, lr=0.1, network=ConvNetConfig(width=64))
    assert mine.differences(theirs) == [("width", 128, 64), ("lr", 0.01, 0.1)]
    assert mine.differences(LossRecipe(epochs=30)) == []
