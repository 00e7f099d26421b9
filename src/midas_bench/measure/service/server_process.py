"""`midas-bench serve` in a process of its own, on a free port of this machine alone."""

from __future__ import annotations

import http.client
import io
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from midas_bench import allocator
from midas_bench.depth.config import Resolved
from midas_bench.depth.model_settings import FLAGS
from midas_bench.files import CACHE_VARIABLE
from midas_bench.processes import ProcessDiedError, last_words

READY = re.compile(r"http://([\d.]+):(\d+) is ready")
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class ServerProcess:
    """A server that is ready: where it answers, and its process."""

    host: str
    port: int
    pid: int

    def ask(self, method: str, path: str, body: bytes | None = None, accept: str = "*/*") -> bytes:
        """Return the body of an answer with status 200.

        Raises:
            ProcessDiedError: there was none, or another.
        """
        connection = http.client.HTTPConnection(self.host, self.port, timeout=ANSWER_TIMEOUT_S)
        try:
            connection.request(method, path, body, {"Accept": accept})
            answer = connection.getresponse()
            data = answer.read()
        except OSError as error:
            raise ProcessDiedError(f"the server did not answer {method} {path}: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise ProcessDiedError(f"the server answered {method} {path} with {answer.status}: {data[:200]!r}")
        return data

    def depth(self, photos: Sequence[bytes]) -> NDArray[np.float32]:
        """Return the depth of each photo as it answers it, float32 (N, H, W)."""
        answers = [self.ask("POST", "/api/depth", photo, "application/x-npy") for photo in photos]
        return np.stack([np.load(io.BytesIO(answer), allow_pickle=False) for answer in answers])

    def counted(self) -> dict[str, int]:
        """Return its own count of answers to photos, by status."""
        from prometheus_client.parser import text_string_to_metric_families

        families = text_string_to_metric_families(self.ask("GET", "/metrics").decode())
        samples = (sample for family in families for sample in family.samples)
        return {
            sample.labels["status"]: int(sample.value)
            for sample in samples
            if sample.name == "midas_bench_requests_total" and sample.labels["route"] == "/api/depth"
        }


@contextmanager
def serving(config: Resolved, folder: Path, *arguments: str) -> Iterator[ServerProcess]:
    """Run the command with the backend, weights, model, threads and cache of `config`.

    Args:
        config: of its pipeline.
        folder: it is started in; a calibrated backend is fitted on the project's photos in it.
        arguments: more of the command's; all else is as by default.

    Raises:
        ProcessDiedError: it was not ready in time, or ended.
    """
    weights = config.weights
    # the model's own path, for the name that the user gave may be relative to another folder
    weights_flags = ["--model" if weights.source == "model" else "--weights", weights.path or weights.source]
    weights_flags += [f"{FLAGS[name]}={value}" for name, value in config.model_settings]
    if weights.source == "official":
        weights_flags = ["--weights", "official"]
    command = [sys.executable, "-m", "midas_bench.cli.main", "serve", "--port", "0", "--backend", config.backend]
    environment = {**os.environ, **allocator.settings(os.environ), CACHE_VARIABLE: config.cache_dir}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(
            [*command, "--threads", str(config.threads), *weights_flags, *arguments],
            stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder, env=environment,
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        watchdog = threading.Timer(START_TIMEOUT_S, process.kill)
        watchdog.start()
        try:
            ready = next(filter(None, map(READY.match, process.stdout)), None)
            watchdog.cancel()
            if ready is None:
                errors.seek(0)
                raise ProcessDiedError(f"the server was not ready: {last_words(errors.read())}")
            yield ServerProcess(ready[1], int(ready[2]), process.pid)
            process.terminate()
            process.wait(STOP_TIMEOUT_S)
        finally:
            watchdog.cancel()
            process.kill()
