"""Mutated photos: each is a photo or a one-line refusal, and no pixel of it is memory that was never written."""

import logging

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.depth.pictures import animated_png, encoded, noise, progressive_scans

from midas_bench.depth import photo

PICTURE = noise(height=48, width=64)
SEEDS = {
    "JPEG": encoded(PICTURE),
    "progressive JPEG": encoded(PICTURE, progressive=True, exif=Image.Exif()),
    "JPEG with restarts": encoded(PICTURE, restart_marker_blocks=2),
    "CMYK JPEG": encoded(Image.fromarray(PICTURE).convert("CMYK")),
    "grey JPEG": encoded(PICTURE[..., 0]),
    "JPEG of many scans": progressive_scans(30),
    "PNG": encoded(PICTURE, "PNG"),
    "palette PNG": encoded(Image.fromarray(PICTURE).quantize(16), "PNG", transparency=3),
    "16-bit PNG": encoded(PICTURE[..., 0].astype(np.uint16) * 256, "PNG"),
    "animated PNG": animated_png(PICTURE, PICTURE[::-1], default_is_first=False),
    "WebP": encoded(PICTURE, "WEBP"),
    "lossless WebP": encoded(PICTURE, "WEBP", lossless=True),
    "transparent WebP": encoded(np.dstack((PICTURE, PICTURE[..., 0])), "WEBP"),
    "AVIF": encoded(PICTURE, "AVIF"),
    "animated WebP": encoded(PICTURE, "WEBP", save_all=True, append_images=[Image.fromarray(PICTURE[::-1])]),
}
BEFORE = [encoded(noise(seed, 48, 64), name) for seed in (7, 8) for name in ("JPEG", "PNG", "WEBP")]


@st.composite
def mutations(draw, data):
    """Change bytes, cut, double and swap parts of a photo; positions near its head are drawn more often."""
    mutated = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        end = draw(st.sampled_from([min(64, len(mutated)), len(mutated)]))
        start = draw(st.integers(0, max(0, end - 1)))
        length = draw(st.sampled_from([1, 1, 2, 4, 30, 400]))
        how = draw(st.sampled_from(["bytes", "cut", "double", "insert", "flip"]))
        part = bytes(mutated[start : start + length])
        if how == "bytes":
            mutated[start : start + length] = draw(st.binary(min_size=len(part), max_size=len(part)))
        elif how == "cut":
            del mutated[start : start + length]
        elif how == "double":
            mutated[start:start] = part
        elif how == "insert":
            mutated[start:start] = draw(st.binary(max_size=20))
        elif part:
            mutated[start] ^= 1 << draw(st.integers(0, 7))
    return bytes(mutated)


def outcome(data):
    try:
        pixels = photo.decode(photo.check(data, "my photo", max_pixels=1_000_000))
    except photo.PhotoError as error:
        message = str(error)
    else:
        assert pixels.dtype == np.uint8
        assert pixels.shape[2:] == (3,)
        return pixels.tobytes()
    assert message.startswith("my photo: ")
    assert "; " in message
    assert "\n" not in message
    return message


def fuzz(kind, data):
    photo.decode(BEFORE[0])
    first = outcome(data)
    for before in BEFORE[3:]:
        photo.decode(before)
    assert outcome(data) == first, f"a mutated {kind} shows what was in memory"


@pytest.fixture(autouse=True)
def quiet():
    """Leave out libjpeg's words on each of thousands of photos."""
    logging.getLogger(photo.__name__).disabled = True
    yield
    logging.getLogger(photo.__name__).disabled = False


@pytest.mark.parametrize("kind", SEEDS)
def test_a_mutated_photo_is_a_photo_or_refused_in_one_line(kind):
    @settings(max_examples=60, deadline=None, database=None, derandomize=True)
    @given(mutations(SEEDS[kind]))
    def mutated(data):
        fuzz(kind, data)

    mutated()


@pytest.mark.slow
@pytest.mark.parametrize("kind", SEEDS)
def test_a_thousand_mutated_photos_are_photos_or_refused_in_one_line(kind):
    @settings(max_examples=1000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(mutations(SEEDS[kind]))
    def mutated(data):
        fuzz(kind, data)

    mutated()


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(st.sampled_from([data[:12] for data in SEEDS.values()]), st.binary(max_size=500))
def test_any_bytes_behind_a_photos_head_are_a_photo_or_refused_in_one_line(head, behind):
    outcome(head + behind)
