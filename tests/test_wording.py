import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldore.wording import count, duration, number, percent, plural, took


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.500"),
        (-12.3456, "-12.346"),
        (0.001, "0.0010"),
        (0.00099, "9.9e-04"),
        (0.00234, "0.0023"),
        (-0.00999, "-0.0100"),
        (0.01, "0.010"),
        (-0.0005, "-5.0e-04"),
        (999_999.0, "999999.000"),
        (1_000_000.0, "1.0e+06"),
        (0.0, "0.000"),
        (-0.0, "0.000"),
        (1e-13, "0.000"),
        (-1e-13, "0.000"),
        (None, "-"),
        (float("nan"), "-"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
    ],
)
def test_numbers_are_written_for_a_table(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.0004, 2, "0.00"), (-0.0004, 2, "0.00"), (0.126, 2, "0.13"), (0.0004, 4, "4.0e-04"), (2.0, 0, "2")],
)
def test_few_digits_hide_small_numbers(value, digits, text):
    assert number(value, digits) == text


def test_numbers_of_numpy_read_like_those_of_python():
    assert number(np.float64(1.5)) == "1.500"
    assert number(np.float32("nan")) == "-"
    assert percent(np.float64(0.5)) == "50%"


@given(st.floats(min_value=-1e300, max_value=1e300))
def test_a_number_is_read_back_to_what_it_shows(value):
    text = number(value)
    error = 0.0005 if "e" not in text else abs(value) * 0.06
    assert abs(float(text) - value) <= error * 1.001
    assert not (text.startswith("-") and float(text) == 0)


@given(st.floats(min_value=-1e6, max_value=1e6), st.floats(min_value=-1e6, max_value=1e6))
def test_larger_numbers_do_not_read_smaller(first, second):
    low, high = sorted((first, second))
    assert float(number(low)) <= float(number(high)) + 1e-3


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (0.5, 0, "50%"),
        (0.126, 1, "12.6%"),
        (1, 0, "100%"),
        (0, 0, "0%"),
        (None, 0, "-"),
        (float("nan"), 1, "-"),
        (-0.25, 0, "-25%"),
    ],
)
def test_shares_are_written_as_percentages(share, digits, text):
    assert percent(share, digits) == text


def test_a_share_that_rounds_to_nothing_has_no_sign():
    assert percent(-0.001) == "0%"


def test_counts_have_separators_for_thousands():
    assert [count(each) for each in (0, 999, 1000, 1_281_167)] == ["0", "999", "1,000", "1,281,167"]


def test_one_thing_is_not_many():
    assert [plural(each, "trial") for each in (0, 1, 2, 1000)] == [
        "0 trials",
        "1 trial",
        "2 trials",
        "1,000 trials",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00:00"), (59.4, "0:00:59"), (59.6, "0:01:00"), (3723, "1:02:03"), (360_000, "100:00:00")],
)
def test_durations_have_hours_minutes_and_seconds(seconds, text):
    assert duration(seconds) == text


@given(st.integers(0, 10**7))
def test_a_duration_loses_no_second(seconds):
    hours, minutes, rest = map(int, duration(seconds).split(":"))
    assert (hours * 60 + minutes) * 60 + rest == seconds
    assert minutes < 60
    assert rest < 60


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.13, "0.13 s"),
        (0.126, "0.13 s"),
        (4.26, "4.3 s"),
        (9.96, "10 s"),
        (10.4, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (250, "4 min 10 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (3_600_000, "1,000 h 00 min"),
    ],
)
def test_lengths_of_time_are_told_in_the_unit_that_suits_them(seconds, text):
    assert took(seconds) == text
