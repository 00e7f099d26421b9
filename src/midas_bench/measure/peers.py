"""Other projects' benchmark programs on the same graph and machine, in the same run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from midas_bench.depth.interface import MIDAS, NetworkInterface
from midas_bench.processes import ProcessDiedError, last_words

BENCHMARK_APP = "benchmark_app"
SECONDS = 4
TIMEOUT_S = 120.0
MEDIAN = re.compile(r"^\[ INFO \]\s+Median:\s+([\d.]+) ms$", re.MULTILINE)


def find_benchmark_app() -> str | None:
    """Return the path of OpenVINO's command, as its package installs it beside this Python or on the path."""
    return shutil.which(BENCHMARK_APP, path=str(Path(sys.executable).parent)) or shutil.which(BENCHMARK_APP)


def benchmark_app(
    command: str,
    model: Path,
    threads: int,
    precision: str | None,
    seconds: int = SECONDS,
    interface: NetworkInterface = MIDAS,
) -> float:
    """Let `benchmark_app` time an ONNX model with one image per call, and return the median it reports, in seconds.

    Args:
        command: its path.
        model: an ONNX file.
        threads: for inference.
        precision: to compute in, as `f32`; None leaves it to OpenVINO, which takes bfloat16 where the CPU has it.
        seconds: how long it measures, after loading.
        interface: of the model.

    Raises:
        ProcessDiedError: it failed, did not end in time, or reported no median.
    """
    settings = {"INFERENCE_NUM_THREADS": str(threads)}
    if precision:
        settings["INFERENCE_PRECISION_HINT"] = precision
    with tempfile.TemporaryDirectory(prefix="midas-bench-") as folder:
        # its own -nthreads is refused together with a hint; a file of settings is not
        file = Path(folder) / "settings.json"
        file.write_text(json.dumps({"CPU": settings}), encoding="utf-8")
        shape = f"[{','.join(map(str, interface.shape(1)))}]"
        process = _run([command, "-m", str(model), "-d", "CPU", "-hint", "latency", "-t", str(seconds), "-shape", shape,
                    "-load_config", str(file)])  # fmt: skip
    if process.returncode != 0:
        raise ProcessDiedError(
            f"{BENCHMARK_APP}: exit code {process.returncode}: {last_words(process.stdout + process.stderr)}"
        )
    return median_s(process.stdout)


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise ProcessDiedError(f"{BENCHMARK_APP}: no answer within {TIMEOUT_S:.0f} s") from None


def median_s(output: str) -> float:
    """Read the median out of what `benchmark_app` prints, in seconds.

    Raises:
        ProcessDiedError: it is not there.
    """
    median = MEDIAN.search(output)
    if median is None:
        raise ProcessDiedError(f"{BENCHMARK_APP}: reported no median: {last_words(output)}")
    return float(median[1]) / 1000
