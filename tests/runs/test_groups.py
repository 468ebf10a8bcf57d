import pytest

from goldore.runs.groups import Groups
from goldore.runs.team import Team


@pytest.mark.parametrize(("folds", "size"), [(1, 4), (2, 3), (2, 1)])
def test_every_trial_comes_once_and_a_group_has_one_fold(folds, size):
    groups = list(Groups(Team().claims(range(5, 26)), size, folds))
    assert sorted(number for group in groups for number in group) == list(range(5, 26))
    assert all(1 <= len(group) <= size for group in groups)
    assert all(len({number % folds for number in group}) == 1 for group in groups)


def test_a_group_that_did_not_fit_comes_again_in_halves():
    groups = Groups(Team().claims(range(10)), 4)
    seen = []
    for group in groups:
        if len(group) > 2:
            groups.put_back(group)
            continue
        seen.append(group)
    assert seen == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert groups.size == 2
