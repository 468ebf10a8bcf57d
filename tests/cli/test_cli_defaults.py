import inspect

from goldore_cli.scoring import score_command

from goldore.recipe import ConvNetConfig, LossRecipe
from goldore.scoring import DEFAULT_TRIALS


def test_the_options_defaults_are_those_of_the_library():
    defaults = {
        name: parameter.default for name, parameter in inspect.signature(score_command).parameters.items()
    }
    for config in (LossRecipe(), ConvNetConfig()):
        for field, value in vars(config).items():
            if field != "network":
                assert defaults[field] == value, field
    assert defaults["trials"] == DEFAULT_TRIALS
