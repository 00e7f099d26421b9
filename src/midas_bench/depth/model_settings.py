"""What a user says of a model of their own: how its input is made, and what its output means."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from midas_bench.depth.interface import IMAGENET_MEAN, IMAGENET_STD
from midas_bench.errors import UserError
from midas_bench.files import as_utf8

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "midas": {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "scale": 255.0, "meaning": "inverse"},
    "imagenet": {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "scale": 255.0},
    "unit": {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "scale": 255.0},
    "raw": {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "scale": 1.0},
}
"""Settings by one name: ImageNet's normalisation, pixels in 0..1, and pixels as they are."""

MEANINGS = ("inverse", "depth")
LARGEST_SIDE = 8192

FLAGS = {
    "size": "--size",
    "preset": "--preset",
    "mean": "--mean",
    "std": "--std",
    "scale": "--scale",
    "output": "--model-output",
    "meaning": "--meaning",
}
"""Each setting, and the flag that gives it."""

PREFIX = "midas_bench."
"""Of a setting's name in a model's own metadata."""


def find_settings(
    path: Path, metadata: Iterable[tuple[str, str]], flags: Iterable[tuple[str, str]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Put the settings of a model together: its metadata, then the TOML file beside it, then the flags, which win.

    Returns:
        the values as `read_settings` has them, and by setting the words for where it was found.

    Raises:
        UserError: a setting cannot be read.
    """
    notes = path.with_suffix(".toml")
    own = [(key.removeprefix(PREFIX), value) for key, value in metadata if key.startswith(PREFIX)]
    sources: tuple[tuple[Iterable[tuple[str, Any]], Callable[[str], str]], ...] = (
        (own, lambda setting: f"{path.name}, metadata {PREFIX}{setting}"),
        (_notes(notes) if notes != path else (), lambda setting: f"{notes.name}, {setting}"),
        (flags, lambda setting: FLAGS.get(setting, setting)),
    )
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for given, label in sources:
        stated = dict(given)
        settings = read_settings(stated.items(), label)
        values |= settings
        # what is not said itself is from the preset
        origins |= {setting: label(setting if setting in stated else "preset") for setting in settings}
    return values, origins


def _notes(path: Path) -> Iterable[tuple[str, Any]]:
    try:
        return tomllib.loads(as_utf8(path.read_bytes()).decode()).items() if path.exists() else ()
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check its permissions, or remove it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(path, f"is not TOML ({error})", "correct or remove it") from error


def read_settings(given: Iterable[tuple[str, Any]], label: Callable[[str], str]) -> dict[str, Any]:
    """Check the settings of one source; a preset comes first, so that the others refine it.

    Args:
        given: names and values, as text or as TOML has them.
        label: what errors call a setting of this source.

    Returns:
        `size` as (height, width), `mean` and `std` as three numbers, `scale` as a number, the others as text.

    Raises:
        UserError: a name is unknown, or a value cannot be read.
    """
    values: dict[str, Any] = {}
    for name, value in given:
        if name not in FLAGS:
            raise UserError(label(name), "is no setting of a model", f"choose from {', '.join(FLAGS)}")
        separator = "x" if name == "size" else ","
        text = separator.join(map(str, value)) if isinstance(value, list | tuple) else str(value).strip()
        values[name] = READERS[name](f"{label(name)} {text}", text)
    return {**PRESETS[values["preset"]], **values} if "preset" in values else values


def _size(thing: str, text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    sides = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= min(sides) <= max(sides) <= LARGEST_SIDE:
        raise UserError(thing, "is no size", f"give height x width in pixels, as 252x336, up to {LARGEST_SIDE}")
    return sides


def _three(thing: str, text: str) -> tuple[float, ...]:
    numbers = [_number(thing, part) for part in text.split(",")]
    if len(numbers) not in (1, 3):
        raise UserError(thing, f"has {len(numbers)} numbers", "give one for all colours, or three as 0.5,0.5,0.5")
    return tuple(numbers * 3 if len(numbers) == 1 else numbers)


def _positive(thing: str, text: str) -> tuple[float, ...]:
    numbers = _three(thing, text)
    if min(numbers) <= 0:
        raise UserError(thing, "is divided by", "give numbers above 0")
    return numbers


def _scale(thing: str, text: str) -> float:
    number = _number(thing, text)
    if number <= 0:
        raise UserError(thing, "is what pixels of 0 to 255 are divided by", "give a number above 0, such as 255")
    return number


def _number(thing: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(thing, "is no number", "give one such as 0.5")
    return number


def _among(names: Iterable[str]) -> Callable[[str, str], str]:
    def read(thing: str, text: str) -> str:
        if text not in names:
            raise UserError(thing, "is unknown", f"choose from {', '.join(names)}")
        return text

    return read


READERS: Mapping[str, Callable[[str, str], Any]] = {
    "size": _size,
    "preset": _among(PRESETS),
    "mean": _three,
    "std": _positive,
    "scale": _scale,
    "output": lambda thing, text: text,  # noqa: ARG005 - the graph tells whether there is one of that name
    "meaning": _among(MEANINGS),
}
"""By setting: what errors call it and its text -> its value."""
