"""How much faster is one than the other on one core? Measured interleaved, in blocks of fresh processes."""

from dataclasses import asdict, dataclass, replace

import pytest

from midas_bench import scene_photos
from midas_bench.depth.config import make_graph, resolve
from midas_bench.depth.preprocess import size_of_original
from midas_bench.measure.blocks import blocks, log_ratios
from midas_bench.measure.worker_client import TimedCall, WorkerSpec
from midas_bench.results.kinds import ratio_fields

BLOCKS = 4
MORE_BLOCKS = 20
ROUNDS = 5
SEED = 1

pytestmark = [pytest.mark.not_quick, pytest.mark.expected_seconds(30)]


OWN_ASPECT = "onnx-own-aspect"
"""The arm whose input has the photo's own aspect ratio, as the original's, and not the article's square."""


@dataclass(frozen=True)
class Ratio:
    """A quotient of times: numerator and denominator."""

    name: str
    above: tuple[TimedCall, ...]
    below: TimedCall
    photos_above: int = 1

    @property
    def calls(self):
        """Return what it takes to be measured."""
        return (*self.above, self.below)

    def quotient(self, seconds):
        """Return seconds per photo above over seconds per photo below."""
        return sum(seconds[call] for call in self.above) / self.photos_above / seconds[self.below]


RATIOS = {
    "jit-over-eager": Ratio("jit/eager", (TimedCall("jit", "one"),), TimedCall("eager", "one")),
    "onnx-over-eager": Ratio("onnx/eager", (TimedCall("onnx", "one"),), TimedCall("eager", "one")),
    "eager-b4-over-b1": Ratio("b4/b1 per photo eager", (TimedCall("eager", "four"),), TimedCall("eager", "one"), 4),
    "onnx-b4-over-b1": Ratio("b4/b1 per photo onnx", (TimedCall("onnx", "four"),), TimedCall("onnx", "one"), 4),
    "article-preprocess-share": Ratio(
        "article preprocess share",
        (TimedCall("article", "one", "decode"), TimedCall("article", "one", "preprocess")),
        TimedCall("article", "one"),
    ),
    "own-aspect-over-square": Ratio(
        "own aspect ratio/square onnx", (TimedCall(OWN_ASPECT, "one"),), TimedCall("onnx", "one")
    ),
}
# by name, because the JSON holds each parameter whole
each_ratio = pytest.mark.parametrize("ratio", RATIOS)


TOGETHER = tuple(name for name in RATIOS if name not in ("eager-b4-over-b1", "own-aspect-over-square"))
"""Ratios that share their blocks, each worker being started once for all; the others take longest, or a graph."""


def runs(run, call):
    """Tell whether the run has the backend or recipe of a call."""
    others = () if run.without_article else ("article", OWN_ASPECT)
    return call.arm in (*others, *run.settings.backends)


def arm(run, name, pipelines):
    """Describe a worker: a backend or the article's recipe, on one thread, with batches of one and four."""
    recipe, backend = {"article": ("article", "eager"), OWN_ASPECT: ("fast", "onnx")}.get(name, ("fast", name))
    config = replace(run.config, backend=backend, recipe=recipe, threads=1)
    photos = next(iter(run.scenes.values()))
    if name == OWN_ASPECT:
        config = resolve(replace(config, model_settings={"size": "{}x{}".format(*own_size(run))}))
        make_graph(config, print)
    batches = {"one": scene_photos.batch(photos, 1).paths, "four": scene_photos.batch(photos, 4).paths}
    return WorkerSpec(name, {p: {"photos": batches[p], "config": asdict(config)} for p in sorted(pipelines)})


def own_size(run):
    """Return height and width of the input that keeps the photo's aspect ratio."""
    photo = next(iter(run.scenes.values()))[0]
    return size_of_original(photo.width, photo.height)


def interleaved(run, names, count):
    """Measure the calls of some ratios in so many blocks."""
    calls = list(dict.fromkeys(call for name in names for call in RATIOS[name].calls if runs(run, call)))
    arms = dict.fromkeys(call.arm for call in calls)
    specs = [arm(run, name, {call.pipeline for call in calls if call.arm == name}) for name in arms]
    return blocks(specs, [calls], ROUNDS, SEED, count)


@pytest.fixture(scope="module")
def few_blocks(run, measured_once):
    """Measure the ratios of the default run together, in a few blocks."""
    return measured_once(lambda: interleaved(run, TOGETHER, BLOCKS))


@pytest.fixture(scope="module")
def many_blocks(run, measured_once):
    """Measure them in many."""
    return measured_once(lambda: interleaved(run, TOGETHER, MORE_BLOCKS))


def record(cell, run, name, together, count, group):
    """Keep a ratio with the cell, measured with the others or by itself."""
    ratio = RATIOS[name]
    needed = dict.fromkeys(call.arm for call in ratio.calls if not runs(run, call))
    if needed and run.settings.models and needed.keys() & {"article", "eager", "jit"}:
        pytest.skip(f"not for this model: {', '.join(sorted(needed))} cannot run it")
    if needed:
        pytest.skip(f"needs {', '.join(sorted(needed))}, which --backend, --model or --size leaves out")
    above, below = ("+".join(f"{c.arm} {c.pipeline} {c.call}" for c in calls) for calls in (ratio.above, [ratio.below]))
    cell.describe(kind="ratio", ratio=ratio.name, numerator=above, denominator=below, threads=1)
    if name == "own-aspect-over-square":
        cell.describe(input_shape=[1, 3, *own_size(run)])

    def measure():
        measured = together() if name in TOGETHER else interleaved(run, [name], count)
        return ratio_fields(log_ratios(measured, ratio.quotient))

    cell.record(group, measure)


@pytest.mark.extended
@each_ratio
def test_ratios(cell, run, few_blocks, ratio):
    """Take a few blocks: enough to tell a half from a whole, not one percent from two."""
    record(cell, run, ratio, few_blocks, BLOCKS, "ratio, a few blocks")


@pytest.mark.extended
@each_ratio
def test_ratios_closely(cell, run, many_blocks, ratio):
    """Take many blocks, for figures that are worth quoting."""
    record(cell, run, ratio, many_blocks, MORE_BLOCKS, "ratio, many blocks")
