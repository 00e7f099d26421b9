"""The depth that every backend's output is checked against: eager's, or for a user's own ONNX model ONNX Runtime's."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from midas_bench import scene_photos
from midas_bench.depth.artifacts import LIBRARIES, library_versions, source_digest
from midas_bench.depth.config import Resolved
from midas_bench.files import sha256_of, write_whole
from midas_bench.processes import ask
from midas_bench.scene_photos import Photo

TIMEOUT_S = 600.0


class Reference:
    """Reference depth by photo, computed in a child process and cached by everything that decides it."""

    def __init__(self, config: Resolved) -> None:
        self.backend = "onnx" if config.weights.source == "model" else "eager"
        self._config = replace(config, backend=self.backend)
        # this module and the child's decide it too, and stand outside of `depth`
        own = Path(__file__)
        self._sources = [source_digest(), sha256_of(own), sha256_of(own.with_name("isolated_tasks.py"))]

    def depth(self, photos: Sequence[Photo]) -> NDArray[np.float32]:
        """Return float32 (N, H, W).

        Raises:
            UserError: the weights or a photo is not usable, or the cache cannot be written.
            ProcessDiedError: the child crashed.
        """
        self.prepare(photos)
        return np.stack([np.load(self._path(photo)) for photo in photos])

    def prepare(self, photos: Sequence[Photo]) -> None:
        """Compute what the cache lacks, all in one child."""
        lacking = self.lacking(photos)
        if not lacking:
            return
        with tempfile.TemporaryDirectory(prefix="midas-bench-") as folder:
            outputs = [Path(folder) / f"{n}.npy" for n in range(len(lacking))]
            request = {
                "task": "reference",
                "config": self._config.to_json(),
                "photos": list(scene_photos.paths(lacking)),
                "outputs": [str(output) for output in outputs],
            }
            ask("midas_bench.measure.isolated_tasks", request, TIMEOUT_S)
            for photo, output in zip(lacking, outputs, strict=True):
                write_whole(self._path(photo), output.read_bytes())

    def lacking(self, photos: Sequence[Photo]) -> list[Photo]:
        """Return the photos whose depth would have to be computed."""
        return [photo for photo in dict.fromkeys(photos) if not self._path(photo).is_file()]

    def _path(self, photo: Photo) -> Path:
        decides = {
            "photo": photo.sha256,
            "weights": self._config.weights.fingerprint,
            "recipe": self._config.recipe,
            "sources": self._sources,
            "libraries": library_versions(LIBRARIES),
        }
        key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]
        return Path(self._config.cache_dir) / "reference" / f"{key}.npy"
