"""Does the network itself run optimised code in a page? `python tools/browser_tier.py` times it in three browsers.

One is started as the benchmarks do it. The others have one of V8's compilers each: TurboFan alone compiles the whole
runtime before it starts, and Liftoff alone never optimises. The three take turns, on one thread each. A cell of the
benchmarks proves the same by a small kernel, which takes less time.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import median

from midas_bench.depth.config import PipelineConfig, cache_folder, resolve
from midas_bench.errors import UserError
from midas_bench.measure.blocks import blocks
from midas_bench.measure.browser.open_page import CALLS
from midas_bench.measure.browser.ratio import INFERENCE, PHOTO
from midas_bench.measure.browser.tier import LIFTOFF, TURBOFAN
from midas_bench.measure.worker_client import TimedCall, WorkerSpec
from midas_bench.processes import ProcessDiedError
from midas_bench.results import units
from midas_bench.web import assets
from midas_bench.web.device_graphs import BACKENDS

PROJECT = Path(__file__).parent.parent
BROWSERS = {"page": (), "TurboFan alone": TURBOFAN, "Liftoff alone": LIFTOFF}
ROUNDS = 10
SEED = 10


def main() -> None:
    """Print the network's median time in each browser, and its ratio to TurboFan's within rounds."""
    photo = str(PROJECT / "fixtures/images/china.jpg")
    cache_dir = cache_folder(os.environ)
    files = str(assets.require(cache_dir))
    calibration = tuple(sorted(map(str, (PROJECT / "fixtures/images").glob("*.jpg"))))
    for model, backend in BACKENDS.items():
        config = resolve(PipelineConfig(backend, threads=1, weights="seeded", calibration=calibration))
        with tempfile.TemporaryDirectory(prefix="midas-bench-", ignore_cleanup_errors=True) as profiles:
            page = asdict(config) | {"assets": files, "profiles": profiles}
            arms = [
                WorkerSpec(name, {PHOTO: {"photos": [photo], "config": page | {"js_flags": flags}}}, calls=CALLS)
                for name, flags in BROWSERS.items()
            ]
            probes = {name: TimedCall(name, PHOTO, INFERENCE) for name in BROWSERS}
            [block] = blocks(arms, [list(probes.values())], ROUNDS, SEED, 1, pinned=False)
        fast = probes["TurboFan alone"]
        for name, probe in probes.items():
            ratio = median(each[probe] / each[fast] for each in block.rounds)
            print(f"{model}, {name}: {units.seconds(block.median_s(probe))}, {units.times(ratio)} of TurboFan alone")


if __name__ == "__main__":
    try:
        main()
    except (UserError, ProcessDiedError) as error:
        sys.exit(f"browser_tier: {error}")
