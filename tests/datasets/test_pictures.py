import io
import itertools
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from goldore.datasets import load_dataset
from goldore.datasets.pictures import decode, open_picture, picture
from goldore.datasets.reading import Findings, Tally

DOCS = Path(__file__).parents[2] / "docs" / "datasets.md"
GREY = np.array([[0, 51], [128, 255]], np.uint8)
COLOUR = np.stack([GREY, 255 - GREY, np.full_like(GREY, 51)], axis=2)


def made(mode):
    """An image of a mode that shows GREY or COLOUR, and what is to be scored of it."""
    wide = np.round(GREY.astype(np.int64) * 257)
    images = {
        "1": (Image.fromarray(GREY > 100), np.where(GREY > 100, 255, 0)),
        "L": (Image.fromarray(GREY), GREY),
        "LA": (
            Image.merge("LA", [Image.fromarray(GREY), Image.new("L", (2, 2), 51)]),
            255 - (255 - GREY) / 5,
        ),
        "P": (Image.fromarray(COLOUR).quantize(4), COLOUR),
        "RGB": (Image.fromarray(COLOUR), COLOUR),
        "RGBA": (
            Image.merge("RGBA", [*Image.fromarray(COLOUR).split(), Image.new("L", (2, 2), 51)]),
            255 - (255 - COLOUR) / 5,
        ),
        "CMYK": (Image.fromarray(COLOUR).convert("CMYK"), COLOUR),
        "YCbCr": (Image.fromarray(COLOUR).convert("YCbCr"), COLOUR),
        "HSV": (Image.fromarray(COLOUR).convert("HSV"), COLOUR),
        "I;16": (Image.fromarray(wide.astype(np.uint16)), GREY),
        "I;16B": (Image.fromarray(wide.astype(">u2")), GREY),
        "I": (Image.fromarray(wide.astype(np.int32)), None),
        "F": (Image.fromarray((GREY / 255).astype(np.float32)), GREY),
    }
    return images[mode]


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "I;16B", "I", "F"]
SUFFIXES = (
    ".png",
    ".jpg",
    ".jfif",
    ".webp",
    ".gif",
    ".bmp",
    ".tiff",
    ".avif",
    ".jp2",
    ".ppm",
    ".tga",
    ".ico",
)
LOSSY = {".jpg", ".jfif", ".avif", ".webp"}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_in_memory(mode):
    image, expected = made(mode)
    if expected is None:
        with pytest.raises(ValueError, match="32 bits, whose range is not known"):
            picture(image)
        return
    seen = picture(image)
    assert seen.mode == image.mode
    assert seen.size == "2x2"
    slack = 3 if mode in ("YCbCr", "HSV", "P") else 1
    np.testing.assert_allclose(seen.pixels.astype(float), expected, atol=slack)


def written(mode, suffix):
    """The bytes of an image in a format; None where Pillow cannot write that."""
    image, _ = made(mode)
    stream = io.BytesIO()
    try:
        image.save(stream, Image.registered_extensions()[suffix])
    except Exception:  # noqa: BLE001 - as each format likes
        return None
    return stream.getvalue()


def scored(content):
    """What an image file is taken for: the mode that Pillow gives it, and what is done to it."""
    try:
        seen = open_picture(io.BytesIO(content))
    except ValueError as error:
        return None, f"refused: {str(error).partition(';')[0]}"
    with Image.open(io.BytesIO(content)) as opened:
        mode = opened.mode
    return seen, f"{mode}{f': {seen.changed[0]}' if seen.changed else ''}"


def table():
    """Every mode in every suffix: what comes out. As in the documentation."""
    lines = ["| mode | " + " | ".join(SUFFIXES) + " |", "|---" * (len(SUFFIXES) + 1) + "|"]
    numbers: dict[str, int] = {}
    for mode in MODES:
        cells = []
        for suffix in SUFFIXES:
            content = written(mode, suffix)
            if content is None:
                cells.append("")
                continue
            seen, what = scored(content)
            mode_there, _, how = what.partition(": ")
            mark = f" ({numbers.setdefault(how, len(numbers) + 1)})" if how else ""
            cells.append(("refused" if seen is None else mode_there) + mark)
        lines.append(f"| {mode} | " + " | ".join(cells) + " |")
    notes = [f"({number}) {how}" for how, number in numbers.items()]
    return "\n".join([*lines, "", "; ".join(notes) + "."])


WRITTEN = [pair for pair in itertools.product(MODES, SUFFIXES) if written(*pair) is not None]


@pytest.mark.parametrize(("mode", "suffix"), WRITTEN)
def test_every_mode_in_every_format_is_scored_as_it_looks(mode, suffix):
    content = written(mode, suffix)
    seen, what = scored(content)
    if seen is None:
        assert mode == "I", what
        return
    with Image.open(io.BytesIO(content)) as opened:
        there, alpha = opened.mode, "A" in opened.mode or "transparency" in opened.info
        plain = np.asarray(opened.convert("L" if there in ("1", "L") else "RGB"))
    if not alpha and not there.startswith(("I", "F")):  # 8 bits, as Pillow wrote them
        np.testing.assert_array_equal(seen.pixels, plain)
        return
    _, expected = made(mode)
    expected = GREY if expected is None else expected  # 32 bits, kept as 16 in some formats
    pixels = seen.pixels[..., 0] if seen.pixels.ndim > np.ndim(expected) else seen.pixels
    if suffix in LOSSY or mode == "P":
        assert abs(float(pixels.mean()) - float(np.mean(expected))) < 40
    else:
        np.testing.assert_allclose(pixels.astype(float), expected, atol=1)


def test_the_documentation_has_this_table():
    found = re.search(r"<!-- modes -->\n(.*)\n<!-- end -->", DOCS.read_text(), re.DOTALL)
    assert found is not None
    columns = found[1].split("\n")
    assert columns[0] == table().split("\n")[0]
    text, _, version = found[1].rpartition("\n\nAs Pillow ")
    if version.startswith(Image.__version__):
        assert text == table()


def test_16_bit_images_are_not_white(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        ramp = (np.linspace(0, 1, 32)[None].repeat(32, 0) * 65535).astype("u2")
        Image.fromarray(ramp).save(tmp_path / label / "0.png")
    dataset = load_dataset(str(tmp_path))
    np.testing.assert_array_equal(dataset.images[0, 0, 0], np.round(ramp[0] / 257))
    assert (dataset.images == 255).mean() < 0.05
    assert dataset.reading.changed == (("16 bits scaled to 8", 2),)
    assert dataset.reading.splits[0].forms == (("I;16", 2),)


def test_12_bits_in_16_are_warned_of(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        Image.fromarray((np.arange(256).reshape(16, 16) * 16).astype("u2")).save(tmp_path / label / "0.png")
    (warning,) = load_dataset(str(tmp_path)).reading.warnings
    assert "up to 4,080 of 65,535 alone" in warning


def test_shapes_in_the_alpha_channel_are_seen(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        shape = np.zeros((16, 16, 4), np.uint8)
        shape[4:12, 4:12, 3] = 255
        Image.fromarray(shape).save(tmp_path / label / "0.png")
    dataset = load_dataset(str(tmp_path))
    assert dataset.images[0, :, 8, 8].tolist() == [0, 0, 0]
    assert dataset.images[0, :, 0, 0].tolist() == [255, 255, 255]
    assert dataset.reading.changed == (("transparent parts put on white", 2),)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_opaque_images_with_alpha_are_as_without(mode):
    image = Image.fromarray(COLOUR).convert("RGBA").convert(mode)
    seen = picture(image)
    assert seen.changed == ()
    np.testing.assert_array_equal(seen.pixels, np.asarray(image.convert("L" if mode == "LA" else "RGB")))


@pytest.mark.parametrize(("mode", "transparent"), [("P", 0), ("L", 128), ("RGB", (128, 127, 51))])
def test_a_transparent_colour_is_transparency(mode, transparent):
    stream = io.BytesIO()
    image = Image.fromarray(COLOUR if mode != "L" else GREY)
    image = image.quantize(4) if mode == "P" else image
    image.save(stream, "PNG", transparency=transparent)
    seen = open_picture(io.BytesIO(stream.getvalue()))
    assert seen.changed == ("transparent parts put on white",)


def test_the_first_of_several_frames_is_read_and_counted(tmp_path):
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    findings = Findings()
    tally = Tally()
    images = decode([tmp_path / "a.gif"], None, tally)
    tally.tell(findings, "train", "train/")
    assert set(images.ravel().tolist()) == {10}
    assert findings.changed == {"first of several frames": 1}


def test_turned_photographs_are_read_as_stored_and_counted(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOUR).resize((8, 4)).save(tmp_path / "a.jpg", exif=exif)
    findings = Findings()
    tally = Tally()
    assert decode([tmp_path / "a.jpg"], None, tally).shape == (1, 3, 4, 8)
    tally.tell(findings, "train", "train/")
    assert findings.changed == {"read as stored, though the camera was turned (EXIF)": 1}


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (Image.fromarray(np.full((2, 2), 70000, np.int32)), "32 bits"),
        (Image.fromarray(np.full((2, 2), 1.5, np.float32)), "floats outside of 0..1"),
        (Image.fromarray(np.full((2, 2), np.nan, np.float32)), "floats outside of 0..1"),
    ],
)
def test_wide_modes_without_a_known_range_are_refused_by_file(tmp_path, refused, image, why):
    image.save(tmp_path / "wide.tiff")
    with refused(tmp_path / "wide.tiff", why, "convert it to 8"):
        decode([tmp_path / "wide.tiff"], None)


def test_all_damaged_files_are_named_at_once(tmp_path, refused):
    files = [tmp_path / f"{number}.png" for number in range(9)]
    for file in files:
        Image.fromarray(COLOUR).save(file)
    for file in files[2:]:
        file.write_bytes(b"no image")
    with refused("7 files cannot be decoded", *files[2:7], "and others; repair or remove them"):
        decode(files, None)
    with refused("2 files cannot be decoded", files[2], files[3]):
        decode(files[:4], None)


def test_what_a_suffix_claims_does_not_matter(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(decode([tmp_path / "a.jpg"], None)[0].transpose(1, 2, 0), COLOUR)


@pytest.mark.parametrize(("channels", "kind"), [(3, 2), (4, 6)])
def test_colours_of_16_bits_are_told(channels, kind):
    """Pillow writes none, so this PNG is put together by hand."""
    pixels = np.full((4, 5, channels), 4000)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)
    header = struct.pack(">IIBBBBB", 5, 4, 16, kind, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    seen = open_picture(io.BytesIO(b"\x89PNG\r\n\x1a\n" + content))
    assert seen.changed[-1] == "16 bits a colour, of which Pillow reads the upper 8"
    assert seen.peak == 4095
