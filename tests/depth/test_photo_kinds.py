"""What photos really look like: odd but sound, unsupported, damaged, and such as would take hours to decode."""

import io
import logging
import re
import struct

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image
from tests.depth.pictures import (
    animated_png,
    chunk,
    encoded,
    noise,
    plain_pixels,
    png_header,
    png_rows,
    progressive_scans,
    riff,
    riff_chunk,
    scan_start,
    segment,
    segments,
)  # fmt: skip

from midas_bench.depth import baseline_recipe, photo
from midas_bench.depth.formats import jpeg
from midas_bench.depth.recipe import find_recipe

DECODERS = {
    "fast": photo.decode,
    "reduced": lambda data, name="photo": photo.decode_reduced(data, 384, name).pixels,
    "article": lambda data, name="photo": np.asarray(baseline_recipe.decode(data, name)),
}
every_decoder = pytest.mark.parametrize("decode", DECODERS.values(), ids=DECODERS)
fast_decoders = pytest.mark.parametrize("decode", [DECODERS["fast"], DECODERS["reduced"]], ids=["fast", "reduced"])

PICTURE = noise()
OTHER = noise(1)
BLACK, WHITE = np.zeros((16, 24, 3), np.uint8), np.full((16, 24, 3), 255, np.uint8)


@pytest.fixture(autouse=True)
def nothing_told_yet():
    photo._tell_once.cache_clear()


def refusal_or_pixels(decode, data):
    try:
        return decode(data, "my photo")
    except photo.PhotoError as error:
        assert str(error).startswith("my photo: ")  # noqa: PT017 - a photo is right, too
        assert "\n" not in str(error)  # noqa: PT017
        return error


def refusal(decode, data):
    error = refusal_or_pixels(decode, data)
    assert isinstance(error, photo.PhotoError), "it was decoded"
    return error


# What is animated shows its default picture, and nothing else reaches a decoder.


@every_decoder
@pytest.mark.parametrize("default_is_first", [True, False], ids=["default is frame 1", "default is no frame"])
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_an_animated_png_shows_its_default_picture(decode, default_is_first, frames):
    data = animated_png(PICTURE, *[OTHER] * frames, default_is_first=default_is_first)
    assert np.array_equal(decode(data), PICTURE)


@every_decoder
@pytest.mark.parametrize(
    "control",
    [
        chunk(b"acTL", b""),
        chunk(b"acTL", struct.pack(">II", 0, 0)),
        chunk(b"acTL", struct.pack(">II", 9, 0)),
        chunk(b"acTL", struct.pack(">II", 1, 0)) + chunk(b"fcTL", bytes(26)),
        chunk(b"fcTL", b"short"),
        chunk(b"fdAT", b""),
    ],
    ids=["acTL empty", "acTL of no frame", "acTL of more frames", "fcTL of nothing", "fcTL short", "fdAT empty"],
)
def test_damaged_animation_control_does_a_png_no_harm(decode, control, capfd):
    height, width, _ = PICTURE.shape
    data = png_header(width, height) + control + chunk(b"IDAT", png_rows(PICTURE)) + chunk(b"IEND")
    assert np.array_equal(decode(data), PICTURE)
    assert capfd.readouterr() == ("", "")


@fast_decoders
@pytest.mark.parametrize("rows", [0, 1, 40, 95])
@pytest.mark.parametrize("frames", [0, 1, 2])
def test_png_rows_that_are_missing_are_damage_and_never_memory(decode, rows, frames):
    data = animated_png(PICTURE, *[OTHER] * frames, rows=rows)
    for before in (noise(2), noise(3)):
        DECODERS["fast"](encoded(before, "PNG"))
        assert refusal(decode, data).kind == "damaged"


def animated_webp(*frames, **settings):
    first, *others = (Image.fromarray(frame) for frame in frames)
    file = io.BytesIO()
    first.save(file, "WEBP", save_all=True, append_images=others, lossless=True, duration=100, **settings)
    return file.getvalue()


def webp_frame(pixels, left=0, top=0):
    body = encoded(pixels, "WEBP", lossless=True)[12:]
    height, width, _ = pixels.shape
    numbers = (left // 2, top // 2, width - 1, height - 1, 100)
    return riff_chunk(b"ANMF", b"".join(number.to_bytes(3, "little") for number in numbers) + b"\0" + body)


def webp_animation(canvas, *frames):
    sides = b"".join((side - 1).to_bytes(3, "little") for side in canvas)
    return riff(riff_chunk(b"VP8X", b"\x12\0\0\0" + sides) + riff_chunk(b"ANIM", bytes(6)) + b"".join(frames))


@every_decoder
@pytest.mark.parametrize("frames", [2, 3])
def test_an_animated_webp_shows_its_first_frame(decode, frames):
    assert np.array_equal(decode(animated_webp(PICTURE, *[OTHER, PICTURE[::-1]][: frames - 1])), PICTURE)


@every_decoder
def test_a_webp_frame_that_is_smaller_than_its_canvas_lies_where_it_belongs(decode):
    data = webp_animation((40, 30), webp_frame(WHITE, left=10, top=4), webp_frame(BLACK))
    expected = np.zeros((30, 40, 3), np.uint8)
    expected[4:20, 10:34] = 255
    assert np.array_equal(decode(data), expected)


@every_decoder
@pytest.mark.parametrize(
    "later",
    [riff_chunk(b"ANMF", b""), riff_chunk(b"ANMF", bytes(40)), riff_chunk(b"ANMF", b"\xff" * 99), b""],
    ids=["empty", "zeros", "ones", "none"],
)
def test_a_later_webp_frame_that_is_damaged_does_no_harm(decode, later):
    assert np.array_equal(decode(webp_animation((24, 16), webp_frame(WHITE), later)), WHITE)


@every_decoder
@pytest.mark.parametrize(
    "first",
    [
        b"",
        riff_chunk(b"ANMF", bytes(8)),
        riff_chunk(b"ANMF", bytes(40)),
        webp_frame(WHITE, left=2),
        webp_frame(PICTURE),
    ],
    ids=["none", "short", "no pixels", "beside the canvas", "larger"],
)
def test_a_webp_without_a_sound_first_frame_is_damaged(decode, first):
    assert refusal(decode, webp_animation((24, 16), first, webp_frame(WHITE)[:-9])).kind == "damaged"


@every_decoder
@pytest.mark.parametrize("keep", [60, 1000, 9000])
def test_webp_pixels_that_are_damaged_never_show_memory(decode, keep):
    frame = webp_frame(PICTURE)
    data = webp_animation((128, 96), frame[:keep] + bytes(len(frame) - keep))
    outcomes = []
    for before in (noise(2), noise(3)):
        DECODERS["fast"](encoded(before, "WEBP", lossless=True))
        outcome = refusal_or_pixels(decode, data)
        outcomes.append(outcome.kind if isinstance(outcome, photo.PhotoError) else outcome.tobytes())
    assert outcomes[0] == outcomes[1]


# Whatever a decoder raises means that the photo is damaged.


@every_decoder
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize(
    "error",
    [
        IndexError("a"),
        KeyError("b"),
        ValueError("c"),
        struct.error("d"),
        OverflowError(),
        RecursionError(),
        cv2.error("e"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_exception_of_a_decoder_is_called_damage(decode, format, error, monkeypatch):
    def raising(*_, **__):
        raise error

    data = encoded(PICTURE, format)
    for module, name in ((cv2, "imdecode"), (simplejpeg, "decode_jpeg"), (Image, "open")):
        monkeypatch.setattr(module, name, raising)
    assert refusal(decode, data).kind == "damaged"


@every_decoder
@pytest.mark.parametrize(
    "data",
    [
        png_header(8, 8) + chunk(b"IEND"),
        png_header(8, 8) + chunk(b"IDAT") + chunk(b"IEND"),
        png_header(8, 8) + chunk(b"IDAT", b"no zlib") + chunk(b"IEND"),
        png_header(8, 8, colour_type=3) + chunk(b"IDAT", png_rows(np.zeros((8, 8), np.uint8))) + chunk(b"IEND"),
        png_header(0, 8) + chunk(b"IDAT", b"") + chunk(b"IEND"),
        png_header(8, 8, bits=3) + chunk(b"IDAT", b"") + chunk(b"IEND"),
        png_header(8, 8)[:8] + chunk(b"IDAT", b"") + chunk(b"IEND"),
        b"\x89PNG\n\x1a\n" + bytes(80),
        b"\xff\xd8" + segment(0xDB) + b"\xff\xd9",
        b"\xff\xd8" + segment(0xC0) + b"\xff\xd9",
        b"\xff\xd8" + segment(0xDA) + b"\xff\xd9",
        b"\xff\xd8" + segment(0xC0, struct.pack(">BHHB", 8, 8, 8, 1) + b"\1\x11\0") + b"\xff\xd9",
        b"\xff\xd8\xff\xd8" + segment(0xDB) + b"\xff\xd9",
        riff(b""),
        riff(riff_chunk(b"VP8 ", b"")),
        riff(riff_chunk(b"VP8L", b"/")),
        riff(riff_chunk(b"VP8X", b"")),
        riff(riff_chunk(b"VP8X", bytes(10))),
        riff(riff_chunk(b"VP8X", b"\2" + bytes(9))),
    ],
)
def test_a_photo_without_pixels_is_damaged(decode, data):
    assert refusal(decode, data).kind == "damaged"


# A photo that costs hours is refused by a walk that is bounded.


@every_decoder
@pytest.mark.parametrize("scans", [2, 11, jpeg.MAX_SCANS])
def test_a_jpeg_of_a_usual_number_of_scans_is_decoded(decode, scans):
    assert decode(progressive_scans(scans)).shape == (64, 64, 3)


EXCESSIVE = {
    "scans": (progressive_scans(jpeg.MAX_SCANS + 1), "has over 100 scans"),
    "scans by the thousand": (progressive_scans(50_000), "has over 100 scans"),
    "comments": (encoded(PICTURE)[:2] + segment(0xFE) * 50_000 + encoded(PICTURE)[2:], "segments"),
    "comments without a length": (encoded(PICTURE)[:2] + b"\xff\xfe\0\0" * 50_000 + encoded(PICTURE)[2:], "segments"),
    "tables": (encoded(PICTURE)[:2] + segment(0xDB) * 50_000 + encoded(PICTURE)[2:], "segments"),
    "private chunks": (png_header(9, 9) + chunk(b"teSt") * 200_000 + chunk(b"IDAT") + chunk(b"IEND"), "chunks"),
    "empty pixels": (png_header(9, 9) + chunk(b"IDAT") * 200_000 + chunk(b"IEND"), "chunks"),
    "text": (png_header(9, 9) + chunk(b"tEXt", b"a\0b") * 200_000 + chunk(b"IDAT") + chunk(b"IEND"), "chunks"),
    "RIFF chunks": (riff(riff_chunk(b"teSt", b"") * 200_000 + encoded(PICTURE, "WEBP")[12:]), "chunks"),
}


@every_decoder
@pytest.mark.parametrize(("data", "words"), EXCESSIVE.values(), ids=EXCESSIVE)
def test_a_photo_of_endless_parts_is_refused_before_it_is_decoded(decode, data, words, monkeypatch):
    for module, name in ((cv2, "imdecode"), (simplejpeg, "decode_jpeg"), (Image, "open")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("it was decoded"))
    error = refusal(decode, data)
    assert error.kind == "excessive"
    assert words in error.reason


@every_decoder
@pytest.mark.parametrize("count", [1, 2, 1_000_000])
def test_fill_bytes_before_a_marker_do_no_harm(decode, count):
    data = encoded(PICTURE)
    assert np.array_equal(decode(data[:2] + b"\xff" * count + data[2:]), decode(data))


def test_a_photo_is_walked_over_once_from_its_bytes_to_its_pixels(monkeypatch):
    walks = []
    monkeypatch.setitem(photo.WALKS, "JPEG", lambda *photo: walks.append(1) or jpeg.contents(*photo))
    checked = photo.check(encoded(PICTURE), "my photo")
    for recipe in ("fast", "article"):
        assert find_recipe(recipe).picture(checked).width == PICTURE.shape[1]
    assert len(walks) == 1


# Damage in the middle of a JPEG whose end is intact: refused, or told with the photo's name.

KINDS_OF_JPEG = {
    "baseline": {"quality": 90},
    "progressive": {"quality": 90, "progressive": True},
    "restart markers": {"quality": 90, "restart_marker_blocks": 4},
    "4:4:4": {"quality": 90, "subsampling": 0},
}


def cut_and_closed(data, start):
    return data[: (start + len(data)) // 2] + b"\xff\xd9"


def zeros(data, start):
    middle = (start + len(data)) // 2
    return data[:middle] + bytes(300) + data[middle + 300 :]


def removed(data, start):
    middle = (start + len(data)) // 2
    return data[:middle] + data[middle + 300 :]


def random_bytes(data, start):
    middle = (start + len(data)) // 2
    return data[:middle] + np.random.default_rng(4).bytes(300) + data[middle + 300 :]


def end_in_the_middle(data, start):
    middle = (start + len(data)) // 2
    return data[:middle] + b"\xff\xd9" + data[middle:]


def doubled(data, start):
    middle = (start + len(data)) // 2
    return data[:middle] + data[middle - 500 : middle] + data[middle:]


@fast_decoders
@pytest.mark.parametrize("how", KINDS_OF_JPEG.values(), ids=KINDS_OF_JPEG)
@pytest.mark.parametrize("damage", [cut_and_closed, zeros, removed, random_bytes, end_in_the_middle, doubled])
def test_damage_in_the_middle_of_a_jpeg_is_told_with_its_name(decode, how, damage, caplog, capfd):
    data = encoded(PICTURE, **how)
    outcome = refusal_or_pixels(decode, damage(data, scan_start(data)))
    if isinstance(outcome, photo.PhotoError):
        assert outcome.kind == "damaged"
    else:
        assert [record.getMessage().startswith("my photo: libjpeg says: ") for record in caplog.records] == [True]
    assert capfd.readouterr() == ("", "")


@fast_decoders
@pytest.mark.parametrize("how", KINDS_OF_JPEG.values(), ids=KINDS_OF_JPEG)
def test_rows_that_libjpeg_would_fill_in_are_damage(decode, how):
    data = encoded(PICTURE, **how)
    error = refusal(decode, cut_and_closed(data, scan_start(data)))
    assert error.kind == "damaged"
    assert "libjpeg: " in error.reason


@every_decoder
@pytest.mark.parametrize("keep_scans", [1, 3, 6])
def test_scans_behind_the_end_of_a_jpeg_are_damage(decode, keep_scans):
    data = encoded(PICTURE, quality=90, progressive=True)
    starts = [place for place in range(len(data)) if data[place : place + 2] == b"\xff\xda"]
    assert len(starts) > keep_scans
    place = starts[keep_scans]
    assert refusal(decode, data[:place] + b"\xff\xd9" + data[place:]).kind == "damaged"


BEHIND_THE_END = {
    "another picture": encoded(OTHER),
    "a progressive picture": encoded(OTHER, progressive=True),
    "zeros": bytes(5000),
    "a video": b"\0\0\0\x18ftypmp42" + np.random.default_rng(5).bytes(50_000),
    "text": b"Samsung trailer SEFT " * 30,
    "another end": b"\xff\xd9",
    "markers": bytes(range(256)) * 20,
}


@every_decoder
@pytest.mark.parametrize("behind", BEHIND_THE_END.values(), ids=BEHIND_THE_END)
@pytest.mark.parametrize("how", KINDS_OF_JPEG.values(), ids=KINDS_OF_JPEG)
def test_what_cameras_append_does_a_jpeg_no_harm(decode, how, behind, capfd):
    data = encoded(PICTURE, **how)
    assert np.array_equal(decode(data + behind), decode(data))
    assert capfd.readouterr() == ("", "")


@fast_decoders
def test_extraneous_bytes_alone_are_told_once_and_not_refused(decode, caplog, capfd):
    data = encoded(PICTURE)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            pixels = decode(data[:-2] + bytes(300) + data[-2:], "my photo")
    assert np.array_equal(pixels, decode(data))
    [record] = caplog.records
    assert re.fullmatch(
        r"my photo: libjpeg says: Corrupt JPEG data: \d+ extraneous bytes before .*", record.getMessage()
    )
    assert capfd.readouterr() == ("", "")


# Sound by the format, however odd.

STRAY = {
    "a zero": b"\0",
    "text": b"hello",
    "zeros": bytes(64),
    "stuffed bytes": b"\xff\0\xff\0",
    "fill": b"\xff\xff\xff",
    "restart markers": b"\xff\xd0\xff\xd7",
    "a reserved marker": b"\xff\x02",
}


@every_decoder
@pytest.mark.parametrize("stray", STRAY.values(), ids=STRAY)
@pytest.mark.parametrize("how", KINDS_OF_JPEG.values(), ids=KINDS_OF_JPEG)
def test_stray_bytes_between_segments_do_a_jpeg_no_harm(decode, how, stray, caplog, capfd):
    data = encoded(PICTURE, **how, exif=Image.Exif(), comment=b"a comment")
    expected = decode(data)
    for place in segments(data)[1:]:
        assert np.array_equal(decode(data[:place] + stray + data[place:]), expected)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


@every_decoder
@pytest.mark.parametrize(
    "extra",
    [
        segment(0xE0, b"JFIF\0\x09\x09\0\0\1\0\1\0\0"),
        segment(0xE0, b"JFXX\0\x10"),
        segment(0xE2, b"ICC_PROFILE\0\1\2damaged"),
        segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"),
        segment(0xED, bytes(60_000)),
        b"\xff\xfe\0\0",
        segment(0xDC, b"\0\x60"),
        segment(0xF0, b"extension"),
    ],
    ids=["JFIF 9", "JFXX", "ICC", "Exif", "Photoshop", "length 0", "DNL", "JPG0"],
)
def test_odd_segments_do_a_jpeg_no_harm(decode, extra, caplog, capfd):
    data = encoded(PICTURE)
    for place in segments(data)[1:]:
        assert np.array_equal(decode(data[:place] + extra + data[place:]), decode(data))
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


@every_decoder
@pytest.mark.parametrize("transform", [0, 1, 2, 3, 255])
def test_any_transform_in_adobes_segment_leaves_the_colours_that_decoders_see(decode, transform, caplog):
    data = encoded(PICTURE, subsampling=0)
    jfif_end = segments(data)[1]
    adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))
    data = data[:2] + adobe + data[jfif_end:]
    assert np.abs(decode(data).astype(int) - plain_pixels(data)).max() <= 2
    assert not caplog.records


@every_decoder
@pytest.mark.parametrize(
    "cut", ["tRNS", "gAMA", "cHRM", "sRGB", "bKGD", "pHYs", "sBIT", "hIST", "sPLT", "cICP", "teSt"]
)
def test_chunks_that_hold_no_pixels_do_a_png_no_harm(decode, cut, capfd):
    height, width, _ = PICTURE.shape
    odd = chunk(cut.encode(), b"\xff\xff\xff")
    data = png_header(width, height) + odd + chunk(b"IDAT", png_rows(PICTURE)) + odd + chunk(b"IEND") + b"behind"
    assert np.array_equal(decode(data), PICTURE)
    assert capfd.readouterr() == ("", "")


# What is sound but not supported is called that.


def with_frame(code=0xC0, **fields):
    """Write a JPEG with another frame header."""
    data = encoded(PICTURE)
    place = data.index(b"\xff\xc0")
    values = {"bits": 8, "height": PICTURE.shape[0], "width": PICTURE.shape[1], "channels": 3, **fields}
    body = struct.pack(">BHHB", *values.values()) + b"\1\x11\0" * values["channels"]
    return data[:place] + segment(code, body) + data[place + 19 :]


UNSUPPORTED = {
    "lossless": (with_frame(0xC3), "is a lossless JPEG, which is not supported; convert it"),
    "lossless, arithmetic": (with_frame(0xCB), "is a lossless JPEG"),
    **{
        f"hierarchical {code:X}": (with_frame(code), "is a hierarchical JPEG")
        for code in (0xC5, 0xC6, 0xC7, 0xCD, 0xCE)
    },
    "DHP": (encoded(PICTURE)[:2] + segment(0xDE, bytes(15)) + encoded(PICTURE)[2:], "is a hierarchical JPEG"),
    "JPEG-LS": (with_frame(0xF7), "is a JPEG-LS"),
    "12 bits": (with_frame(0xC1, bits=12), "is a 12-bit JPEG"),
    "16 bits": (with_frame(0xC1, bits=16), "is a 16-bit JPEG"),
    "2 channels": (with_frame(channels=2), "is a JPEG of 2 channels"),
    "5 channels": (with_frame(channels=5), "is a JPEG of 5 channels"),
    "DNL": (with_frame(height=0), "is a JPEG that tells its height behind its pixels (DNL), which is not supported"),
}


@every_decoder
@pytest.mark.parametrize(("data", "words"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_what_is_not_supported_is_not_called_damaged(decode, data, words):
    error = refusal(decode, data)
    assert error.kind == "unsupported"
    assert words in f"{error.reason}; {error.next_step}"


@every_decoder
@pytest.mark.parametrize("factors", [(1, 1, 2, 1, 1, 1), (4, 1, 1, 1, 1, 1), (1, 1, 1, 1, 2, 2), (3, 1, 1, 1, 1, 1)])
def test_a_jpeg_of_unusual_sampling_reaches_a_decoder(decode, factors):
    data = with_frame()
    place = data.index(b"\xff\xc0") + 10
    body = b"".join(
        bytes([n + 1, h << 4 | v, 0]) for n, (h, v) in enumerate(zip(factors[::2], factors[1::2], strict=True))
    )
    odd = data[:place] + body + data[place + 9 :]
    outcome = refusal_or_pixels(decode, odd)
    # the blocks of a usual picture no longer fit its frame, so damage is right; "unsupported" or an exception is not
    assert outcome.kind == "damaged" if isinstance(outcome, photo.PhotoError) else outcome.shape == PICTURE.shape


def test_all_walks_name_the_sizes_that_pillow_names():
    for name in ("JPEG", "PNG", "WEBP", "AVIF"):
        contents = photo.WALKS[name](encoded(PICTURE, name), photo.MAX_PIXELS)
        assert (contents.width, contents.height) == PICTURE.shape[1::-1]
        assert Image.open(io.BytesIO(contents.plain)).size == PICTURE.shape[1::-1]
