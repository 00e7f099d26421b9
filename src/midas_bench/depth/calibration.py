"""The suite's photos: what an int8 graph is calibrated on where nobody names other photos."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from midas_bench.bundle import suite_photos
from midas_bench.errors import UserError
from midas_bench.files import as_utf8, sha256_of


def project_photos() -> tuple[str, ...]:
    """Return the paths of the suite's photos, as `suite_photos` finds them.

    Raises:
        UserError: the manifest or one of its photos is missing or damaged.
    """
    manifest = suite_photos()
    return tuple(str(_photo_path(manifest, number, row)) for number, row in enumerate(rows(manifest), start=1))


def rows(manifest: Path) -> list[dict[str, Any]]:
    """Return the `[[photo]]` rows of a manifest, at least one.

    Raises:
        UserError: it cannot be read, is not TOML, or has no such row.
    """
    try:
        photos = tomllib.loads(as_utf8(manifest.read_bytes()).decode()).get("photo")
    except OSError as error:
        raise UserError(manifest, f"cannot be read ({error.strerror})", "restore it, or name another one") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(manifest, f"is not TOML ({error})", "correct it") from error
    if not photos or not isinstance(photos, list) or not all(isinstance(row, dict) for row in photos):
        raise UserError(manifest, "has no [[photo]] row", "add one for each photo")
    return photos


def check_sha256(manifest: Path, row: Mapping[str, Any], sha256: str) -> None:
    """Compare a photo's hash with the hash in its row.

    Raises:
        UserError: they differ.
    """
    if sha256 != row["sha256"]:
        raise UserError(
            row["file"],
            f"has SHA-256 {sha256[:8]}... where {manifest.name} says {str(row['sha256'])[:8]}...",
            "restore the file or correct the row",
        )


def _photo_path(manifest: Path, number: int, row: Mapping[str, Any]) -> Path:
    if not isinstance(row.get("file"), str) or not isinstance(row.get("sha256"), str):
        raise UserError(f"{manifest.name}, photo {number}", "lacks file or sha256", "complete the row")
    # absolute, because another process may have another current folder
    path: Path = (manifest.parent / row["file"]).resolve()
    try:
        sha256 = sha256_of(path)
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "restore it or remove it") from error
    check_sha256(manifest, row, sha256)
    return path
