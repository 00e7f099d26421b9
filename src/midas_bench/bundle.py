"""The suite's own photos and benchmarks, wherever it is installed."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

MANIFEST = "fixtures/images/manifest.toml"
"""The list of the suite's photos, from the folder that holds them."""

CHECKOUT = Path(__file__).parents[2]
"""The repository, where the package is installed in place (`pip install -e`)."""


def suite_folder() -> Path:
    """Return the folder that holds `bench/`, `fixtures/images/` and pytest's settings.

    A wheel carries copies of them inside of the package; an installation in place uses those of the repository.
    """
    bundled = Path(str(files("midas_bench"))) / "bundled"
    return bundled if bundled.is_dir() else CHECKOUT


def suite_photos(folder: Path | None = None) -> Path:
    """Return the manifest of the suite's photos: of this folder (by default the current one) if it has one."""
    here = (folder or Path()) / MANIFEST
    return here if here.is_file() else suite_folder() / MANIFEST
