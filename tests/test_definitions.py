import pytest

from goldore import UsageError
from goldore.definitions import SCORES, score_name


@pytest.mark.parametrize("given", ["LossInit", "loss-init", "LOSS_INIT", "lossinit"])
def test_spellings_of_a_score(given):
    assert score_name(given) == "LossInit"


def test_a_near_miss_gets_a_hint_and_a_stranger_the_list():
    with pytest.raises(UsageError, match=r"did you mean LossConverge\?"):
        score_name("LossConverged")
    with pytest.raises(UsageError, match="choose among LossInit, LossConverge"):
        score_name("xyz")


def test_every_score_states_direction_and_unit():
    for name, definition in SCORES.items():
        assert definition.name == name
        assert "high" in definition.direction
        assert definition.unit
        assert definition.drop.startswith(f"{name}_")
