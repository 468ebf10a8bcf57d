import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from goldore.selection.ordering import ascending

few = st.sampled_from([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("elements", [few, st.floats(width=32)], ids=["ties", "any"])
def test_it_is_the_stable_order(elements):
    @given(arrays.arrays(float, st.integers(0, 200), elements=elements))
    def check(values):
        known = len(values) - int(np.isnan(values).sum())
        stable = np.argsort(values, kind="stable")
        assert ascending(values)[:known].tolist() == stable[:known].tolist()
        assert sorted(ascending(values).tolist()) == list(range(len(values)))

    check()
