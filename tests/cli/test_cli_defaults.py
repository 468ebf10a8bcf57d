import inspect

import pytest

from goldore.recipe import ConvNetConfig, LossRecipe
from goldore.scoring import DEFAULT_TRIALS

scoring = pytest.importorskip("goldore_cli.scoring", reason="needs an installation, not only a checkout")


def test_the_options_defaults_are_those_of_the_library():
    parameters = inspect.signature(scoring.score_command).parameters
    for config in (LossRecipe(), ConvNetConfig()):
        for field, value in vars(config).items():
            if field != "network":
                assert parameters[field].default == value, field
    assert parameters["trials"].default == DEFAULT_TRIALS
