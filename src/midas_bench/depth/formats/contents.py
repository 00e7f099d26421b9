"""What a walk over a photo's segments or chunks gives, and the ways in which it can fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["empty", "foreign", "unsupported", "truncated", "damaged", "huge", "excessive"]
"""Why a photo cannot be used: no bytes, no known format, a known one that is not read, cut off, damaged, more pixels
than are safe, or more scans, segments or chunks than any camera writes."""


MAX_SIDE = 65_500
"""libjpeg's limit; libpng and WebP writers refuse what is much longer."""

MAX_EXIF_BYTES = 1 << 16
"""What a JPEG's segment holds. The orientation is in the first directory, near the beginning."""


@dataclass(frozen=True)
class Contents:
    """A photo taken apart, nothing of it decoded.

    Attributes:
        width: as stored, in pixels.
        height: as stored, in pixels.
        plain: an encoded picture of the same format that holds only what decoding needs.
        exif: the EXIF data, or nothing.
    """

    width: int
    height: int
    plain: bytes
    exif: bytes = b""


class ContentsError(Exception):
    """The bytes are no photo that can be decoded.

    Attributes:
        kind: why.
        reason: the same in words.
        next_step: what a user can do about it.
    """

    def __init__(self, kind: Kind, reason: str, next_step: str) -> None:
        self.kind = kind
        self.reason = reason
        self.next_step = next_step
        super().__init__(reason)


def truncated(format: str, size_bytes: int) -> ContentsError:
    """Say that a photo ends too early."""
    return ContentsError("truncated", f"is a truncated {format} ({size_bytes} bytes)", "copy it again or remove it")


def damaged(detail: str = "") -> ContentsError:
    """Say that a photo is no picture behind its first bytes; `detail` is a decoder's own word on it."""
    reason = "is damaged and cannot be decoded" + (f" ({detail})" if detail else "")
    return ContentsError("damaged", reason, "replace or remove it")


def unsupported(what: str) -> ContentsError:
    """Say that a photo is sound for all we know, but of a kind that is not read: `what` with its article."""
    return ContentsError("unsupported", f"is {what}, which is not supported", "convert it")


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse more pixels than `max_pixels`, or a side over `MAX_SIDE`; a walk calls it as soon as it knows the size.

    Raises:
        ContentsError: that is so.
    """
    if width * height > max_pixels:
        raise ContentsError("huge", f"has {width}x{height} pixels, over the limit of {max_pixels:,}", "scale it down")
    if max(width, height) > MAX_SIDE:
        reason = f"is {width}x{height}, with a side over {MAX_SIDE:,} pixels"
        raise ContentsError("huge", reason, "scale it down")


def excessive(limit: int, parts: str) -> ContentsError:
    """Say that a photo consists of more parts than any camera or program writes, and so may take hours to decode."""
    return ContentsError("excessive", f"has over {limit:,} {parts}, more than is safe", "save it anew or remove it")
