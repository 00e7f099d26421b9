"""Names of graphs on disk that every runtime reads, whatever the user called them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def is_readable(path: Path, suffix: str) -> bool:
    """Tell whether every runtime reads this file by its own name."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return str(path).endswith(suffix)


@contextmanager
def readable(path: Path, suffix: str) -> Iterator[str]:
    """Yield a name of this file that every runtime reads: they take UTF-8 alone, and choose a format by the ending."""
    if is_readable(path, suffix):
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="midas-bench-") as folder:
        link = Path(folder, f"graph{suffix}")
        link.symlink_to(path.absolute())
        yield str(link)


@contextmanager
def without_links(path: Path, external: Sequence[str]) -> Iterator[Path]:
    """Yield a name of this model whose further files are no links: OpenVINO and onnx refuse those, onnx hard ones too.

    Download caches have links, and so the files are copied for as long as the model is being read.
    """
    folder = path.parent.resolve()
    if not any((folder / name).resolve() != folder / name or (folder / name).stat().st_nlink > 1 for name in external):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="midas-bench-") as temporary:
        for name in (path.name, *external):
            target = Path(temporary, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path.parent / name, target)
        yield Path(temporary, path.name)
