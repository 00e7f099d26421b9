"""Photos of newer phones, HEIC and AVIF: read where their decoder is installed, and else said to be what they are."""

import struct
import sys

import numpy as np
import pytest
from PIL import Image
from tests.depth.pictures import encoded, noise

from midas_bench.depth import baseline_recipe, photo

PICTURE = noise()
DECODERS = {"fast": photo.decode, "article": lambda data, name="photo": np.asarray(baseline_recipe.decode(data, name))}
every_decoder = pytest.mark.parametrize("decode", DECODERS.values(), ids=DECODERS)
# the extra `heic` is no part of what the fast tests install
modern_formats = pytest.mark.parametrize("format", ["AVIF", pytest.param("HEIC", marks=pytest.mark.slow)])


def refusal(decode, data):
    with pytest.raises(photo.PhotoError) as caught:
        decode(data, "my photo")
    return caught.value


def modern(format, picture=PICTURE, **settings):
    if format == "AVIF":
        return encoded(picture, "AVIF", **settings)
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)
    return encoded(picture, "HEIF", **settings)


@every_decoder
@modern_formats
def test_a_photo_of_a_newer_format_is_decoded(decode, format):
    smooth = np.linspace(0, 255, 64 * 96 * 3).reshape(64, 96, 3).astype(np.uint8)
    data = modern(format, smooth, quality=95)
    assert photo.inspect(data) == photo.PhotoInfo(format, 96, 64)
    assert np.abs(decode(data).astype(int) - smooth).mean() < 4


@every_decoder
@modern_formats
@pytest.mark.parametrize("keep", [20, 100, 0.5, 0.9, -1])
def test_a_truncated_photo_of_a_newer_format_is_refused(decode, format, keep):
    data = modern(format)
    size = keep if keep > 1 else int(len(data) * keep) if keep > 0 else len(data) + keep
    error = refusal(decode, data[:size])
    assert (error.kind, error.reason) == ("truncated", f"is a truncated {format} ({size} bytes)")


@every_decoder
@modern_formats
def test_a_damaged_photo_of_a_newer_format_is_refused(decode, format):
    data = modern(format)
    start = data.index(b"meta") + 20
    assert refusal(decode, data[:start] + bytes(80) + data[start + 80 :]).kind == "damaged"


@every_decoder
@modern_formats
def test_endless_boxes_are_refused(decode, format):
    assert refusal(decode, modern(format) + struct.pack(">I4s", 8, b"free") * 50_000).kind == "excessive"


@pytest.mark.slow
@every_decoder
def test_a_heic_says_what_to_install_where_its_decoder_is_missing(decode, monkeypatch):
    data = modern("HEIC")
    monkeypatch.delitem(Image.OPEN, "HEIF")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr("midas_bench.depth.formats.iso_media.find_spec", lambda _: None)
    error = refusal(decode, data)
    assert error.kind == "unsupported"
    assert error.why == (
        "is a HEIC picture, which needs pillow-heif, which is not installed; "
        "pip install 'midas-bench[heic]', or convert it"
    )


@pytest.mark.parametrize("brand", [b"isom", b"mp42", b"qt  ", b"M4A "])
def test_a_video_is_no_photo(brand):
    assert refusal(photo.decode, b"\0\0\0\x18ftyp" + brand + bytes(99)).kind == "foreign"


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1"])
def test_a_heic_that_is_damaged_is_refused_with_or_without_its_decoder(brand):
    error = refusal(photo.decode, b"\0\0\0\x18ftyp" + brand + bytes(12) + b"\0\0\0\x20meta" + bytes(24))
    assert error.kind in ("damaged", "unsupported")
