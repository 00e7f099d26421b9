"""How much faster is one than the other? Measured interleaved, in blocks of fresh processes, on one core."""

from dataclasses import asdict, dataclass, replace

import pytest

from midas_bench import scene_photos
from midas_bench.measure.blocks import blocks, log_ratios
from midas_bench.measure.worker_client import TimedCall, WorkerSpec
from midas_bench.results.kinds import ratio_fields

BLOCKS = 4
MORE_BLOCKS = 20
SEED = 1

pytestmark = [pytest.mark.not_quick, pytest.mark.expected_seconds(25)]


@dataclass(frozen=True)
class Ratio:
    """A quotient of times: numerator, denominator, and calls of each per block."""

    name: str
    above: tuple[TimedCall, ...]
    below: TimedCall
    photos_above: int = 1
    rounds: int = 6

    def quotient(self, seconds):
        """Return seconds per photo above over seconds per photo below."""
        return sum(seconds[probe] for probe in self.above) / self.photos_above / seconds[self.below]


RATIOS = {
    "jit-over-eager": Ratio("jit/eager", (TimedCall("jit", "one"),), TimedCall("eager", "one")),
    "onnx-over-eager": Ratio("onnx/eager", (TimedCall("onnx", "one"),), TimedCall("eager", "one")),
    "eager-b4-over-b1": Ratio(
        "b4/b1 per photo eager", (TimedCall("eager", "four"),), TimedCall("eager", "one"), photos_above=4, rounds=4
    ),
    "onnx-b4-over-b1": Ratio(
        "b4/b1 per photo onnx", (TimedCall("onnx", "four"),), TimedCall("onnx", "one"), photos_above=4, rounds=4
    ),
    "article-preprocess-share": Ratio(
        "article preprocess share",
        (TimedCall("article", "one", "decode"), TimedCall("article", "one", "preprocess")),
        TimedCall("article", "one"),
    ),
}
# by name, because the JSON holds each parameter whole
each_ratio = pytest.mark.parametrize("ratio", RATIOS)


def in_the_default_run(ratio):
    """Leave out the one that takes a minute: one photo or four hardly matters to eager's users."""
    return ratio != "eager-b4-over-b1"


def arm(run, name, pipelines):
    """Describe a worker: a backend or the article's recipe, on one thread, with batches of one and four."""
    recipe, backend = ("article", "eager") if name == "article" else ("fast", name)
    config = asdict(replace(run.config, backend=backend, recipe=recipe, threads=1))
    photos = next(iter(run.scenes.values()))
    batches = {"one": scene_photos.batch(photos, 1).paths, "four": scene_photos.batch(photos, 4).paths}
    return WorkerSpec(name, {p: {"photos": batches[p], "config": config} for p in sorted(pipelines)})


def measure(run, ratio, count):
    """Return the ratio's block log-ratios and interval."""
    probes = (*ratio.above, ratio.below)
    names = dict.fromkeys(probe.arm for probe in probes)
    arms = [arm(run, name, {probe.pipeline for probe in probes if probe.arm == name}) for name in names]
    return ratio_fields(log_ratios(blocks(arms, [probes], ratio.rounds, SEED, count), ratio.quotient))


def record(cell, run, ratio, count, group):
    """Measure a ratio in so many blocks and keep it with the cell."""
    above, below = (
        "+".join(f"{p.arm} {p.pipeline} {p.call}" for p in probes) for probes in (ratio.above, [ratio.below])
    )
    there = run.settings.backends if run.settings.model else ("article", *run.settings.backends)
    needed = {probe.arm for probe in (*ratio.above, ratio.below)} - set(there)
    if needed:
        pytest.skip(f"needs {', '.join(sorted(needed))}, which --backend or --model leaves out")
    cell.describe(kind="ratio", ratio=ratio.name, numerator=above, denominator=below, threads=1)
    cell.record(group, lambda: measure(run, ratio, count))


@pytest.mark.by_default.with_args(in_the_default_run)
@each_ratio
def test_ratios(cell, run, ratio):
    """Take a few blocks: enough to tell a half from a whole, not one percent from two."""
    record(cell, run, RATIOS[ratio], BLOCKS, "ratio, a few blocks")


@pytest.mark.extended
@each_ratio
def test_ratios_closely(cell, run, ratio):
    """Take many blocks, for figures that are worth quoting."""
    record(cell, run, RATIOS[ratio], MORE_BLOCKS, "ratio, many blocks")
