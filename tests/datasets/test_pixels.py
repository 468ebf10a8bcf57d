import numpy as np
import pytest

from goldore.datasets.pixels import images_from_array


def sequence(*shape):
    return (np.arange(np.prod(shape)) % 251).astype(np.uint8).reshape(shape)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_channels_last_are_detected_and_noted(channels):
    array = sequence(4, 5, 6, channels)
    images, _changed, detail = images_from_array(array, "x")
    assert images.shape == (4, channels, 5, 6)
    assert images[3, channels - 1, 2, 1] == array[3, 2, 1, channels - 1]
    assert detail == "x: channels last, [N, H, W, C]"


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_channels_first_are_detected_and_noted(channels):
    array = sequence(4, channels, 5, 6)
    images, _changed, detail = images_from_array(array, "x")
    np.testing.assert_array_equal(images, array)
    assert detail == "x: channels first, [N, C, H, W]"


def test_grey_images_get_one_channel_and_a_note():
    array = sequence(4, 5, 6)
    images, _changed, detail = images_from_array(array, "x")
    np.testing.assert_array_equal(images, array.reshape(4, 1, 5, 6))
    assert detail == "x: grey images [N, H, W]"


@pytest.mark.parametrize(
    ("shape", "why"), [((4, 3, 8, 3), "both its second and its last"), ((4, 8, 9, 7), "neither its second")]
)
def test_ambiguous_channels_must_be_said(refused, shape, why):
    array = sequence(*shape)
    with refused("x has shape", shape, why, "`channels` first or last"):
        images_from_array(array, "x")
    first, _, first_detail = images_from_array(array, "x", "first")
    last, _, last_detail = images_from_array(array, "x", "last")
    np.testing.assert_array_equal(first, array)
    np.testing.assert_array_equal(last, np.moveaxis(array, 3, 1))
    assert first_detail == last_detail == ""


def test_said_channels_overrule_detection():
    array = sequence(4, 3, 8, 8)
    assert images_from_array(array, "x", "last")[0].shape == (4, 8, 3, 8)


@pytest.mark.parametrize("shape", [(20,), (4, 5), (2, 2, 2, 2, 3)])
def test_wrong_number_of_axes_is_refused(refused, shape):
    with refused("x has shape", shape, "[N, H, W, C] or [N, C, H, W]"):
        images_from_array(sequence(*shape), "x")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_made_from_bytes_come_back_exactly(dtype):
    array = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    images, changed, _detail = images_from_array(array.astype(dtype) / dtype(255), "x")
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images[:, 0], array)
    assert changed == "floats in 0..1 converted to 8 bits exactly"


def test_floats_between_bytes_are_rounded_and_noted():
    images, changed, _detail = images_from_array(np.array([0.501, 0.499, 0.0, 1.0]).reshape(1, 2, 2), "x")
    assert images.ravel().tolist() == [128, 127, 0, 255]  # 127.755, 127.245
    assert changed == "floats in 0..1 converted to 8 bits with rounding"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_images_with_nan_are_refused(refused, bad):
    array = np.zeros((4, 5, 6))
    array[[2, 3], 1, 1] = bad
    with refused("x holds NaN or infinite pixels", "first in image 2"):
        images_from_array(array, "x")


def test_lone_nan_is_refused(refused):
    with refused("x"):
        images_from_array(np.array(np.nan), "x")


@pytest.mark.parametrize(
    ("bad", "parts"),
    [
        (-0.5, ["from -0.5 to 0", "0..1, not normalised to -1..1; add 1 and divide by 2"]),
        (1.5, ["from 0 to 1.5", "divide by 255"]),
        (-3.5, ["from -3.5 to 0", "not normalised; leave the normalisation out"]),
        (300, ["from 0 to 300", "not normalised"]),
    ],
)
def test_floats_out_of_range_are_refused_with_the_remedy(refused, bad, parts):
    array = np.zeros((4, 5, 6))
    array[1, 2, 3] = bad
    with refused("x has pixels", *parts):
        images_from_array(array, "x")


@pytest.mark.parametrize("over", [1e-7, 0.4 / 255])
def test_floats_that_overshoot_are_clipped(over):
    images, *_ = images_from_array(np.array([-over, 0.2, 1 + over]).reshape(1, 1, 3), "x")
    assert images.ravel().tolist() == [0, 51, 255]


def test_whole_floats_up_to_255_are_8_bits():
    array = np.arange(256, dtype=np.float32).reshape(4, 8, 8)
    images, changed, _detail = images_from_array(array, "x")
    np.testing.assert_array_equal(images[:, 0], array)
    assert changed == "floats in 0..255, all whole, taken as 8 bits"


def test_16_bits_are_scaled():
    images, changed, _detail = images_from_array(
        np.array([0, 257, 32768, 65535], np.uint16).reshape(1, 2, 2), "x"
    )
    assert images.ravel().tolist() == [0, 1, 128, 255]
    assert changed == "16 bits scaled to 8"


def test_booleans_are_black_and_white():
    images, changed, _detail = images_from_array(np.array([True, False]).reshape(1, 1, 2), "x")
    assert images.ravel().tolist() == [255, 0]
    assert changed == "true and false became 255 and 0"


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.int64, ">i4"])
def test_whole_numbers_of_other_types_are_taken(dtype):
    array = np.arange(120).reshape(4, 5, 6)
    images, *_ = images_from_array(array.astype(dtype), "x")
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images[:, 0], array)


@pytest.mark.parametrize(("bad", "says"), [(-1, "from -1 to 0"), (256, "from 0 to 256")])
def test_whole_numbers_out_of_range_are_refused(refused, bad, says):
    array = np.zeros((4, 5, 6), np.int64)
    array[1, 2, 3] = bad
    with refused("x has pixels", says, "0..255"):
        images_from_array(array, "x")


@pytest.mark.parametrize("dtype", ["complex64", "U1", "S1"])
def test_other_pixel_types_are_refused(refused, dtype):
    array = np.zeros((4, 5, 6), dtype)
    with refused("x is", str(array.dtype), "must be whole numbers in 0..255, or floats in 0..1"):
        images_from_array(array, "x")


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_no_images_are_refused(refused, dtype):
    with refused("x is empty"):
        images_from_array(np.zeros((0, 5, 6), dtype), "x")
