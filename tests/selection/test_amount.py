import pytest

from goldore import UsageError
from goldore.selection.amount import make_amount


@pytest.mark.parametrize("size", [500, 600, 5000, 6000])
def test_counts_are_exact_for_every_thousandth(size):
    for thousandth in range(1, 1000):
        text = f"0.{thousandth:03d}"
        kept = -(-thousandth * size // 1000)
        assert make_amount(keep_ratio=text).of(size) == kept
        assert make_amount(drop_ratio=f"0.{1000 - thousandth:03d}").of(size) == kept
        assert make_amount(keep_ratio=float(text)).of(size) == kept
        assert make_amount(keep_range=(f"0.{1000 - thousandth:03d}", 1)).of(size) == kept


def test_the_counts_that_binary_floating_point_misses():
    # integrations.md, section 11: 1.0 - 0.9 keeps 4501 of 5000, and int(0.57 * 600) is 341.
    assert make_amount(keep_ratio=0.9).of(5000) == 4500
    assert make_amount(keep_ratio="0.8").of(6000) == 4800
    assert make_amount(drop_ratio=0.57).of(600) == 258
    assert make_amount(keep_ratio=0.1).of(5000) == 500


@pytest.mark.parametrize("ratio", ["1e-99999999", "1e-400", "0e-99999999", "1e99999999"])
def test_ratios_with_absurd_exponents_are_answered_at_once(ratio):
    with pytest.raises(UsageError, match="`keep_ratio`"):
        make_amount(keep_ratio=ratio)
