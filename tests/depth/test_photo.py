import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from midas_bench.depth import baseline_recipe, photo

FORMATS = ("JPEG", "PNG", "WEBP")
ORIENTATIONS = {  # how an upright picture stands in a file of that orientation
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}


def with_pillow(data):
    return np.asarray(baseline_recipe.decode(data))


def reduced(data, name="photo"):
    return photo.decode_reduced(data, 384, name).pixels


both_decoders = pytest.mark.parametrize(
    "decode", [photo.decode, reduced, with_pillow], ids=["fast", "reduced", "article"]
)


@pytest.fixture(scope="module")
def quarters():
    """Draw a wide picture of a red, a green, a blue and a white quarter: no two of its turns are alike."""
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:16, :32] = (255, 0, 0)
    picture[:16, 32:] = (0, 255, 0)
    picture[16:, :32] = (0, 0, 255)
    picture[16:, 32:] = 255
    return picture


def assert_like(decoded, expected, tolerance=3):
    assert decoded.dtype == np.uint8
    assert decoded.shape == expected.shape
    assert np.abs(decoded.astype(int) - expected).max() <= tolerance


@both_decoders
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_photo_is_turned_upright(quarters, encode, decode, format, orientation):
    stored = ORIENTATIONS[orientation](quarters)
    data = encode(stored, format, orientation=orientation)
    assert_like(decode(data), quarters)
    assert photo.inspect(data) == photo.PhotoInfo(format, 64, 32, orientation)


@both_decoders
@pytest.mark.parametrize("format", FORMATS)
def test_a_red_photo_is_red(encode, decode, format):
    red = np.full((16, 16, 3), (255, 0, 0), np.uint8)
    assert_like(decode(encode(red, format)), red)


@both_decoders
@pytest.mark.parametrize(
    ("mode", "colour", "rgb"),
    [
        ("L", 77, (77, 77, 77)),
        ("LA", (77, 10), (77, 77, 77)),
        ("RGBA", (200, 100, 50, 10), (200, 100, 50)),
        ("1", 1, (255, 255, 255)),
    ],
)
def test_grey_and_transparent_photos_become_rgb(encode, decode, mode, colour, rgb):
    data = encode(Image.new(mode, (9, 7), colour), "PNG")
    assert_like(decode(data), np.full((7, 9, 3), rgb), tolerance=0)


@both_decoders
@pytest.mark.parametrize("transparency", [None, 0, b"\x10\x80"])
def test_a_palette_becomes_rgb(encode, decode, transparency):
    picture = Image.new("RGB", (9, 7), (200, 100, 50)).quantize(2)
    how = {} if transparency is None else {"transparency": transparency}
    assert_like(decode(encode(picture, "PNG", **how)), np.full((7, 9, 3), (200, 100, 50)), tolerance=0)


@both_decoders
def test_a_transparent_webp_becomes_rgb(encode, decode):
    data = encode(Image.new("RGBA", (9, 7), (200, 100, 50, 10)), "WEBP")
    assert_like(decode(data), np.full((7, 9, 3), (200, 100, 50)), tolerance=0)


@both_decoders
def test_a_grey_jpeg_becomes_rgb(encode, decode):
    assert_like(decode(encode(Image.new("L", (9, 7), 77), "JPEG", subsampling=-1)), np.full((7, 9, 3), 77))


@both_decoders
def test_a_cmyk_jpeg_becomes_rgb(encode, decode):
    data = encode(Image.new("RGB", (16, 16), (200, 100, 50)).convert("CMYK"), "JPEG", subsampling=-1)
    assert_like(decode(data), np.full((16, 16, 3), (200, 100, 50)), tolerance=4)


@both_decoders
def test_16_bits_are_scaled_and_not_clipped(encode, decode):
    grey = np.linspace(0, 65535, 256).astype(np.uint16).reshape(4, 64)
    expected = np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, axis=2)
    assert_like(decode(encode(Image.fromarray(grey), "PNG")), expected, tolerance=1)


@both_decoders
@pytest.mark.parametrize("alpha", [[], [20000]])
def test_16_bit_colours_keep_their_order(decode, alpha):
    _, data = cv2.imencode(".png", np.full((4, 5, 3 + len(alpha)), [50 << 8, 100 << 8, 200 << 8, *alpha], np.uint16))
    assert_like(decode(data.tobytes()), np.full((4, 5, 3), (200, 100, 50)), tolerance=1)


@both_decoders
def test_a_phones_photo_with_further_pictures_behind_it_is_decoded(quarters, encode, decode):
    data = encode(Image.fromarray(quarters), "MPO", quality=95, save_all=True, append_images=[Image.new("RGB", (8, 8))])
    assert photo.inspect(data) == photo.PhotoInfo("JPEG", 64, 32)
    assert_like(decode(data), quarters, tolerance=200)  # MPO's subsampling smears the quarters' edges
    assert_like(decode(data)[4:12, 4:24], quarters[4:12, 4:24])


@both_decoders
@pytest.mark.parametrize("exif", [b"garbage", b"MM\0*", b"II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0\xff\xff\xff\xff"])
def test_damaged_exif_does_a_photo_no_harm(quarters, encode, decode, exif):
    assert_like(decode(encode(quarters, "JPEG", exif=b"Exif\0\0" + exif)), quarters)


@both_decoders
def test_exif_that_is_damaged_behind_its_orientation_turns_a_photo_all_the_same(quarters, encode, decode):
    white_point = struct.pack(">HHI4s", 0x013E, 2, 4, b"abc")  # text in place of fractions
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x02" + white_point + struct.pack(">HHIHHI", 0x0112, 3, 1, 6, 0, 0)
    assert_like(decode(encode(ORIENTATIONS[6](quarters), "JPEG", exif=exif)), quarters)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(png, kind, body, where):
    """Put a chunk before the pixels, or behind them."""
    position = png.index(b"IDAT") - 4 if where == "before" else len(png) - 12
    return png[:position] + chunk(kind, body) + png[position:]


@both_decoders
@pytest.mark.parametrize("where", ["before", "behind"])
@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_a_pngs_large_text_does_it_no_harm(quarters, encode, decode, kind, where, capfd):
    data = with_chunk(encode(quarters, "PNG"), kind, b"notes\0\0" + zlib.compress(bytes(2_000_000)), where)
    assert_like(decode(data), quarters, tolerance=0)
    assert capfd.readouterr() == ("", "")


SIDEWAYS_EXIF = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHHI", 0x0112, 3, 1, 6, 0, 0)


@pytest.mark.parametrize("where", ["before", "behind"])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
def test_a_pngs_orientation_is_the_same_for_the_header_and_the_pixels(quarters, encode, prefix, where, capfd):
    data = with_chunk(encode(quarters, "PNG"), b"eXIf", prefix + SIDEWAYS_EXIF, where)
    info = photo.inspect(data)
    assert (info.width, info.height, info.orientation) == ((32, 64, 6) if where == "before" else (64, 32, 1))
    for pixels in (photo.decode(data), reduced(data), with_pillow(data)):
        assert pixels.shape == (info.height, info.width, 3)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", [1, 3, 4, 7])
def test_a_jpegs_orientation_of_any_type_is_the_same_for_the_header_and_the_pixels(large, encode, kind):
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIII", 0x0112, kind, 1, 6, 0)
    data = encode(large, "JPEG", exif=exif)
    info = photo.inspect(data)
    assert photo.decode(data).shape == (info.height, info.width, 3)
    assert photo.decode_reduced(data, 64).pixels.shape == (info.height // 8, info.width // 8, 3)
    assert with_pillow(data).shape == (info.height, info.width, 3)


def test_the_pixels_are_ones_own_and_in_order(quarters, encode):
    decoded = photo.decode(encode(quarters, "PNG"))
    assert decoded.flags.c_contiguous
    assert decoded.flags.writeable


def test_inspecting_a_png_does_not_decode_it(quarters, encode, monkeypatch):
    def decoded(*_):
        raise AssertionError("it was decoded")

    data = encode(quarters, "PNG", orientation=6)
    monkeypatch.setattr(PngImageFile, "load", decoded)
    assert photo.inspect(data).width == 32


@pytest.fixture(scope="module")
def large(quarters):
    """Draw the quarters 512 pixels high and 1024 wide."""
    return quarters.repeat(16, axis=0).repeat(16, axis=1)


@pytest.mark.parametrize(("least", "factor"), [(513, 1), (512, 1), (257, 1), (256, 2), (128, 4), (64, 8), (3, 8)])
def test_a_large_jpeg_is_decoded_to_a_fraction_that_leaves_enough(large, encode, least, factor):
    decoded = photo.decode_reduced(encode(large, "JPEG"), least)
    assert decoded.pixels.shape == (512 // factor, 1024 // factor, 3)
    assert (decoded.width, decoded.height) == (1024, 512)
    assert decoded.pixels.flags.c_contiguous


def assert_quarters(decoded):
    """Look at each quarter's middle, away from edges that a reduction blurs."""
    height, width = decoded.pixels.shape[:2]
    rows, columns = (height // 4, 3 * height // 4), (width // 4, 3 * width // 4)
    seen = [decoded.pixels[row, column].astype(int) for row in rows for column in columns]
    np.testing.assert_allclose(seen, [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)], atol=4)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_fraction_is_upright_and_knows_the_photos_size(large, encode, orientation):
    decoded = photo.decode_reduced(encode(ORIENTATIONS[orientation](large), "JPEG", orientation=orientation), 64)
    assert decoded.pixels.shape == (64, 128, 3)
    assert (decoded.width, decoded.height) == (1024, 512)
    assert_quarters(decoded)


@pytest.mark.parametrize("how", [{"progressive": True}, {"subsampling": 2}, {"keep_rgb": True}])
def test_a_fraction_of_any_jpeg_keeps_its_colours(large, encode, how):
    assert_quarters(photo.decode_reduced(encode(large, "JPEG", **how), 128))


@pytest.mark.parametrize(("mode", "expected"), [("L", (77, 77, 77)), ("CMYK", (200, 100, 50))])
def test_a_fraction_of_grey_and_cmyk_is_rgb(encode, mode, expected):
    picture = Image.new("RGB", (600, 400), expected).convert(mode)
    decoded = photo.decode_reduced(encode(picture, "JPEG", subsampling=-1), 100)
    assert_like(decoded.pixels, np.full((100, 150, 3), expected), tolerance=4)


def test_sides_that_do_not_divide_are_rounded_up(encode):
    decoded = photo.decode_reduced(encode(np.zeros((853, 1281, 3), np.uint8), "JPEG"), 384)
    assert decoded.pixels.shape == (427, 641, 3)
    assert (decoded.width, decoded.height) == (1281, 853)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_other_formats_are_decoded_whole(large, encode, format):
    decoded = photo.decode_reduced(encode(large, format, orientation=1), 64)
    assert_like(decoded.pixels, large, tolerance=0)


@pytest.mark.parametrize("bits", ["16 bit", "alpha"])
def test_large_pngs_of_16_bits_and_with_alpha_are_right_too(bits):
    colour = [50, 100, 200, 7] if bits == "alpha" else [50 << 8, 100 << 8, 200 << 8]
    _, data = cv2.imencode(".png", np.full((600, 700, len(colour)), colour, [np.uint16, np.uint8][bits == "alpha"]))
    assert_like(reduced(data.tobytes()), np.full((600, 700, 3), (200, 100, 50)), tolerance=1)


def test_inspecting_in_threads_leaves_the_filters_for_warnings_alone(quarters, encode):
    data = encode(quarters, "PNG")
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(photo.inspect, [data] * 200))
    assert list(warnings.filters) == before


@pytest.fixture(scope="module")
def pet(photos, encode):
    picture = photo.decode(photos["pet"].data)
    return {name: encode(picture, name) for name in FORMATS}


def refused(decode, data, message, *kinds):
    with pytest.raises(photo.PhotoError, match=message) as caught:
        decode(data, "my photo.jpg")
    assert str(caught.value).startswith("my photo.jpg: ")
    assert "\n" not in str(caught.value)
    assert caught.value.kind in kinds


every_door = pytest.mark.parametrize("door", [photo.inspect, photo.decode, reduced, baseline_recipe.decode])


@every_door
def test_an_empty_photo_is_refused(door):
    refused(door, b"", r"is empty \(0 bytes\); replace or remove it", "empty")


@every_door
@pytest.mark.parametrize("data", [b"GIF89a" + b"\0" * 50, b"hello", b"\xff\xd8", b"RIFF\x04\0\0\0WAVE"])
def test_what_is_no_photo_is_refused_with_its_first_bytes(door, data):
    refused(
        door,
        data,
        rf"is not a JPEG, PNG or WebP \(first bytes {data[:4].hex(' ')}\); convert it or remove it",
        "foreign",
    )


def test_a_real_gif_is_refused(encode):
    refused(photo.inspect, encode(Image.new("P", (4, 4)), "GIF"), "is not a JPEG, PNG or WebP", "foreign")


@every_door
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("keep", [0.03, 0.3, 0.6, 0.9, 0.999, -20, -8, -2, -1])
def test_a_truncated_photo_is_refused(pet, door, format, keep):
    data = pet[format]
    cut = int(len(data) * keep) if keep > 0 else len(data) + keep
    refused(door, data[:cut], rf"is a truncated {format} \({cut} bytes\); copy it again or remove it", "truncated")


@every_door
@pytest.mark.parametrize(
    ("format", "keep"), [("JPEG", 3), ("JPEG", 20), ("JPEG", 100), ("PNG", 4), ("PNG", 20), ("PNG", 40), ("WEBP", 14)]
)
def test_a_photo_that_is_cut_off_in_its_header_is_truncated(pet, door, format, keep):
    refused(door, pet[format][:keep], rf"is a truncated {format} \({keep} bytes\)", "truncated")


@every_door
def test_a_header_that_holds_nothing_is_damaged(door):
    refused(door, b"RIFF\x04\0\0\0WEBP", "is damaged and cannot be decoded", "damaged")


@every_door
def test_a_truncated_photo_is_not_saved_by_its_thumbnail(photos, encode, door):
    picture = Image.fromarray(photo.decode(photos["pet"].data))
    thumbnail = encode(picture.resize((64, 64)), "JPEG")
    data = encode(picture, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + thumbnail)
    door(data)
    refused(door, data[: len(data) // 2], "is a truncated JPEG", "truncated")


@every_door
def test_a_truncated_progressive_photo_is_refused(photos, encode, door):
    data = encode(Image.fromarray(photo.decode(photos["pet"].data)), "JPEG", progressive=True)
    door(data)
    refused(door, data[: len(data) // 2], "is a truncated JPEG", "truncated")


@every_door
def test_a_damaged_png_is_refused_and_libpng_says_nothing(photos, encode, door, capfd):
    data = bytearray(encode(Image.fromarray(photo.decode(photos["pet"].data)), "PNG"))
    data[len(data) // 2] ^= 0xFF
    refused(
        door, bytes(data), r"is damaged and cannot be decoded \(a checksum is wrong\); replace or remove it", "damaged"
    )
    assert capfd.readouterr() == ("", "")


def png_that_claims(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@every_door
@pytest.mark.parametrize(
    ("width", "height", "message"),
    [
        (10_001, 10_000, "has 10001x10000 pixels, over the limit of 100,000,000; scale it down"),
        (60_000, 60_000, "has 60000x60000 pixels, over the limit of 100,000,000; scale it down"),
        (1_000_000, 2, "is 1000000x2, with a side over 65,500 pixels; scale it down"),
    ],
)
def test_a_bomb_is_refused_by_its_header(door, width, height, message):
    refused(door, png_that_claims(width, height), message, "huge")


def test_a_photo_at_the_limit_is_not_a_bomb():
    assert photo.inspect(png_that_claims(10_000, 10_000)).width == 10_000
