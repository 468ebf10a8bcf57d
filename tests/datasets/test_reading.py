import pytest

from goldore.datasets.reading import SplitReading, counts, listed


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((("8x8", 9),), "9 images from here: RGB; 8x8"),
        ((("8x8", 5), ("9x8", 4)), "9 images from here: RGB; 5 8x8, 4 9x8"),
        (
            (("8x8", 4), ("9x80", 2), ("7x70", 2), ("70x9", 1)),
            "9 images from here: RGB; 4 sizes from 8x8 to 9x80",
        ),
    ],
)
def test_many_sizes_are_told_by_the_smallest_and_the_largest(sizes, words):
    assert SplitReading("train", "here", 9, (("RGB", 9),), sizes).words == words


def test_lists_are_short():
    from collections import Counter

    entries = counts(Counter({f"kind {number}": 10 - number for number in range(8)}))
    assert listed(entries).endswith("6 kind 4 and 3 others")
    assert listed((("all", 3),), 3) == "all"
    assert listed((("all", 2),), 3) == "2 all"
