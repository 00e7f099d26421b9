"""The command line, read once; and what a run needs, resolved once, when the first cell asks for it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pytest

from midas_bench import allocator, scene_photos
from midas_bench.bundle import suite_photos
from midas_bench.depth.backends import registry
from midas_bench.depth.config import PipelineConfig, Resolved, make_graph
from midas_bench.depth.interface import MIDAS
from midas_bench.depth.weights import TIMING_ONLY, Weights
from midas_bench.errors import UserError, printable
from midas_bench.files import expanded
from midas_bench.measure import machine
from midas_bench.measure.doctor import examine
from midas_bench.measure.isolated_tasks import MODULE
from midas_bench.measure.machine import Condition, MachineFacts
from midas_bench.measure.plugin.open_pipelines import OpenPipelines
from midas_bench.measure.plugin.option_checks import check_options, check_parallel
from midas_bench.measure.plugin.run_models import RunModel, model_names
from midas_bench.options import add_to_pytest, model_settings, seconds, split, thread_counts
from midas_bench.processes import ask
from midas_bench.scene_photos import BATCH_SIZES, Photo

DEFAULT_BACKENDS = registry.DEFAULT
MODEL_BACKENDS = ("onnx",)
FAST = "fast"
"""The name that stands for the fastest backends in a first look."""
QUICK_BATCH_SIZES = (1, 4)
DEFAULT_BUDGET_S, QUICK_BUDGET_S = 360.0, 45.0
PEAK_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Settings:
    """The flags of one run, checked.

    Attributes:
        backends: names of the registry.
        threads: the counts asked for; empty for the default.
        weights: auto, official, seeded or a path.
        models: ONNX files of the user's own, by name; none for MiDaS_small.
        model_settings: what the user says of them; without one, the size of the network's input.
        left_out: backends that `all` or `fast` does not take, and why.
        looks_for_fast: whether a first look is to add the fastest backends.
        photos: folder of the user's own photos, or None for those of the project.
        quick: whether few cells and rounds will do.
        noise: `mark` disturbed cells, or `rerun` them.
        resume: None, `yes`, or `force`.
        budget_s: seconds that the cells of the default run may take.
        rootdir: the project's folder.
    """

    backends: tuple[str, ...]
    threads: tuple[int, ...]
    weights: str
    photos: Path | None
    quick: bool
    noise: str
    resume: str | None
    rootdir: Path
    budget_s: float
    models: Mapping[str, str] = field(default_factory=dict)
    model_settings: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()
    looks_for_fast: bool = False

    @property
    def compared_models(self) -> tuple[str, ...]:
        """The names of several models, the first of which the others are compared with; none where there is one."""
        return tuple(self.models) if len(self.models) > 1 else ()


class RunContext:
    """What the cells of one run share.

    Attributes:
        left_out_photos: what was left out of the user's folder, in words.
        pipelines: that stay open over the passes.
        thoroughness: share of their usual processes and blocks that the budget leaves to cells that have their own.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.left_out_photos: list[str] = []
        self.pipelines = OpenPipelines()
        self.thoroughness = 1.0

    @cached_property
    def scenes(self) -> dict[str, Sequence[Photo]]:
        """Photos by scene; `--quick` keeps the first scene.

        Raises:
            UserError: the manifest, the folder or a photo is not usable.
        """
        own, manifest = self.settings.photos, suite_photos(self.settings.rootdir)
        scenes = scene_photos.chosen(own, manifest, self.left_out_photos.append)
        kept = list(scenes)[:1] if self.settings.quick else list(scenes)
        return {scene: scenes[scene] for scene in kept}

    @property
    def photos(self) -> list[Photo]:
        """All photos of all scenes."""
        return scene_photos.all_photos(self.scenes)

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """1 to 4, or the ends of that range with `--quick`."""
        return QUICK_BATCH_SIZES if self.settings.quick else BATCH_SIZES

    @cached_property
    def models(self) -> tuple[RunModel, ...]:
        """The networks that cells run: the user's models, or MiDaS_small.

        Calibrated backends are fitted on the run's own photos.

        Raises:
            UserError: a photo is not usable.
        """
        settings = self.settings
        calibrated = any(registry.find(name).calibrated for name in settings.backends)
        config = PipelineConfig(
            backend=settings.backends[0],
            threads=settings.threads[0] if settings.threads else None,
            weights=settings.weights,
            calibration=scene_photos.paths(self.photos) if calibrated else (),
            model_settings=settings.model_settings,
        )
        names = settings.compared_models or (None,)
        files = tuple(settings.models.values()) or (None,)
        return tuple(RunModel(name, replace(config, model=file)) for name, file in zip(names, files, strict=True))

    def model(self, name: str | None) -> RunModel:
        """Return the network of a cell, by the name that its id has; without one the first."""
        return self.models[0] if name is None else next(model for model in self.models if model.name == name)

    @property
    def config(self) -> Resolved:
        """The configuration of the first network, for cells that do not differ by it.

        Raises:
            UserError: the weights, the model, the number of threads or a photo is not usable.
        """
        return self.models[0].config

    @property
    def thread_counts(self) -> tuple[int, ...]:
        """The counts that cells run with: those asked for, or the default alone."""
        return self.settings.threads or (self.config.threads,)

    def scaled(self, count: int, least: int = 1) -> int:
        """Return how many of so many processes or blocks the budget allows, at least the least."""
        return max(min(count, least), round(count * self.thoroughness))

    @cached_property
    def peaks(self) -> dict[int, dict[str, float]]:
        """Peak of the machine by thread count and precision, in operations per second, measured when first asked."""
        precisions = sorted({registry.find(name).precision for name in self.settings.backends})
        request = {"task": "peak", "precisions": precisions}
        return {count: ask(MODULE, request | {"threads": count}, PEAK_TIMEOUT_S) for count in self.thread_counts}

    @cached_property
    def machine(self) -> MachineFacts:
        """What machine this is."""
        return machine.inspect()

    @cached_property
    def condition(self) -> Condition:
        """How busy the machine was when this was first asked: before the first cell."""
        return machine.condition()

    @property
    def weights(self) -> Weights:
        """The weights of the first network."""
        return self.models[0].weights

    @property
    def without_article(self) -> str:
        """Why the article's recipe is left out; empty where the run can have it."""
        if self.settings.models:
            return "not for this model: the article's recipe runs MiDaS_small"
        interface = self.weights.interface
        if interface != MIDAS:
            return f"the article's recipe resizes to 256x256, not to --size {interface.size}"
        return ""

    @property
    def weights_text(self) -> str:
        """What the cells run, in one line for the terminal."""
        if self.settings.compared_models:
            named = ", ".join(map(str, self.models))
            return f"models: {named}; depth is compared with that of {self.models[0].name}, the first"
        seeded = self.weights.source == "seeded"
        return TIMING_ONLY if seeded else f"weights: {self.weights.source} ({self.weights.sha256[:8]})"


SETTINGS = pytest.StashKey[Settings]()
RUN = pytest.StashKey[RunContext]()


def pytest_addoption(parser: pytest.Parser) -> None:
    add_to_pytest(parser)


# before pytest-benchmark reads its own options
@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    try:
        settings = _settings_from(config)
        check_parallel(config)
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[SETTINGS] = settings
    config.stash[RUN] = RunContext(settings)


def _settings_from(config: pytest.Config) -> Settings:
    photos = config.getoption("photos")
    files = tuple(dict.fromkeys(config.getoption("model") or ()))
    requested = split(config.getoption("backend"))
    named = [name for name in requested if name != FAST]
    default = () if requested else MODEL_BACKENDS if files else DEFAULT_BACKENDS
    budget = config.getoption("budget")
    absent = [registry.missing(row) for row in registry.ROWS] if "all" in requested else []
    return Settings(
        backends=registry.select(named, bool(files)) or default,
        threads=thread_counts(config.getoption("threads")),
        weights=config.getoption("weights"),
        photos=expanded(photos) if photos else None,
        quick=config.getoption("quick"),
        noise=config.getoption("noise"),
        resume=config.getoption("resume"),
        budget_s=seconds("--budget", budget, "min") if budget else _default_budget_s(config),
        rootdir=config.rootpath,
        models=dict(zip(model_names(files), files, strict=True)),
        model_settings=model_settings(config.option),
        left_out=tuple(str(reason) for reason in absent if reason),
        looks_for_fast=FAST in requested,
    )


def _default_budget_s(config: pytest.Config) -> float:
    return QUICK_BUDGET_S if config.getoption("quick") else DEFAULT_BUDGET_S


# last, so that -k and -m have chosen the cells; pytest_collection_finish comes after errors too
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Find weights, graphs and references before the first cell, and print what the run works with."""
    cells = [item for item in items if is_cell(item)]
    if config.option.collectonly or not cells:
        return
    allocator.keep_memory(os.environ)
    run = config.stash[RUN]
    try:
        check_options(config, cells, resume=run.settings.resume is not None)
        weights_text = run.weights_text
        of_article = any("articles_network" in getattr(item, "fixturenames", ()) for item in cells)
        for reason in (*run.settings.left_out, *([run.without_article] if of_article and run.without_article else ())):
            write_line(config, f"left out: {reason}")
        for line in run.left_out_photos:
            write_line(config, f"! {line}", yellow=True)
        if run.settings.photos:
            write_line(config, f"photos: {scene_photos.timed_text(run.scenes, max(run.batch_sizes))}")
        for finding in examine(run.machine, run.condition):
            write_line(config, f"! {finding}", yellow=True)
        write_line(config, weights_text)
        with_article = any("article" in getattr(item, "fixturenames", ()) for item in cells)
        for model in run.models:
            for backend in _backends_of(model, run, cells):
                registry.check_runs(backend, model.weights)
                make_graph(replace(model.config, backend=backend), partial(_say_of, config, model))
            for recipe, reference in model.references.items():
                if recipe == "fast" or (with_article and not run.without_article):
                    reference.prepare(run.photos)
        teacher = run.models[0]
        if run.settings.compared_models and (flat := teacher.photos_without_depth(run.photos)):
            others = f" and {len(flat) - 1} more" if len(flat) > 1 else ""
            what = (
                f"{teacher.name} gives no depth of {printable(flat[0])}{others}, so nothing is compared with it there"
            )
            write_line(config, f"! {what}; see `midas-bench model`", yellow=True)
    except UserError as error:
        raise pytest.UsageError(str(error)) from None


def _backends_of(model: RunModel, run: RunContext, cells: Sequence[pytest.Item]) -> list[str]:
    """Return the backends that cells run a network in."""
    chosen = [getattr(item, "callspec").params for item in cells if hasattr(item, "callspec")]  # noqa: B009
    backends = {params.get("backend") for params in chosen if run.model(params.get("model")) is model}
    return sorted(backends - {None})


def _say_of(config: pytest.Config, model: RunModel, line: str) -> None:
    write_line(config, f"{model.name}: {line}" if model.name else line)


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Add stable facts alone: pytest-benchmark's comparison warns at any difference."""
    machine_info["midas_bench"] = config.stash[RUN].machine.to_json()
    for name in [name for name in machine_info.get("cpu", {}) if name.startswith("hz_actual")]:
        # the clock rate of one moment
        del machine_info["cpu"][name]


def write_line(config: pytest.Config, line: str, **markup: bool) -> None:
    """Write a line to the terminal, where there is one."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(line, **markup)


def is_cell(item: pytest.Item) -> bool:
    """Tell a cell of a benchmark from a test."""
    return "cell" in getattr(item, "fixturenames", ())


def pytest_unconfigure(config: pytest.Config) -> None:
    if RUN in config.stash:
        config.stash[RUN].pipelines.close()


@pytest.fixture(scope="session")
def run(pytestconfig: pytest.Config) -> RunContext:
    """Give what the cells of this run share."""
    return pytestconfig.stash[RUN]
