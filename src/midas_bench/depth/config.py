"""What a pipeline is opened with, and the one place that resolves it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from midas_bench.cpu import allowed_cores, default_threads
from midas_bench.depth import weights as weights_module
from midas_bench.depth.backends import registry
from midas_bench.depth.calibration import project_photos
from midas_bench.depth.interface import MIDAS, MIDAS_MULTIPLE, NetworkInterface
from midas_bench.depth.model_settings import FLAGS, read_settings
from midas_bench.depth.weights import Release, Weights
from midas_bench.errors import UserError
from midas_bench.files import CACHE_VARIABLE, expanded

RECIPES = ("fast", "article")


@dataclass(frozen=True)
class PipelineConfig:
    """Everything that decides what a pipeline computes and how.

    Attributes:
        backend: a name of the registry.
        threads: for the runtime and for OpenCV; None takes the physical cores this process may use.
        weights: auto, official, seeded, a path, or weights that are resolved already.
        recipe: `fast`, ours, or `article`, the reference.
        calibration: photos (paths) that a calibrated backend is fitted on; where there are none, the project's.
        cache_dir: for weights and artifacts; None takes the environment's or the user's.
        model: an ONNX file of the user's own, run in place of the network with `weights`; or None.
        model_settings: what the user says of it, as pairs or a dictionary; the names are those of `FLAGS`. Without a
            model, only `size`.
    """

    backend: str = "onnx"
    threads: int | None = None
    weights: str | Weights = "auto"
    recipe: str = "fast"
    calibration: tuple[str, ...] = ()
    cache_dir: str | None = None
    model: str | None = None
    model_settings: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Take weights and settings as the JSON that they become on their way to another process."""
        if isinstance(self.weights, dict):
            object.__setattr__(self, "weights", Weights(**self.weights))
        object.__setattr__(self, "model_settings", tuple(sorted(dict(self.model_settings).items())))

    def to_json(self) -> str:
        """Return JSON that `from_json` reads: how a resolved configuration reaches a child process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> PipelineConfig:
        """Read what `to_json` wrote.

        Raises:
            TypeError: a field is unknown.
        """
        values: dict[str, Any] = json.loads(text)
        values["calibration"] = tuple(values.get("calibration", ()))
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Resolved(PipelineConfig):
    """A configuration with nothing left to find out."""

    threads: int
    weights: Weights
    cache_dir: str


def make_graph(config: Resolved, say: Callable[[str], object]) -> None:
    """Make the backend's graph unless the cache has it; `say` hears of it first, for it takes long.

    Raises:
        UserError: as `registry.prepare`.
    """
    wanted = (config.backend, config.weights, Path(config.cache_dir), config.calibration)
    if not registry.is_prepared(*wanted):
        # calibrating a user's own model takes as long as its inference does
        usually = "which may take minutes" if config.weights.source == "model" else "up to half a minute"
        say(f"making the graph for {config.backend}: once, {usually}")
        registry.prepare(*wanted)


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder for weights and artifacts: `MIDAS_BENCH_CACHE`, else the user's cache.

    Raises:
        UserError: the user has no home, as in a container with an unknown uid, and no variable names a folder.
    """
    named = environment.get(CACHE_VARIABLE)
    folder = expanded(named) if named else user_cache_path("midas-bench")
    # the home of a user who has none, see midas_bench/__init__.py
    if Path(os.devnull) in folder.parents:
        reason = "has no place, for this user has no home folder"
        raise UserError("the cache", reason, f"set {CACHE_VARIABLE} to a folder that can be written")
    return folder


def check_threads(threads: int) -> int:
    """Return the number if this process may use that many cores.

    Raises:
        UserError: it is below 1 or above the allowed cores.
    """
    allowed = allowed_cores()
    if not 1 <= threads <= allowed:
        raise UserError(
            f"--threads {threads}", f"this process may use 1 to {allowed} cores", "choose a number among them"
        )
    return threads


def resolve(config: PipelineConfig, environment: Mapping[str, str] | None = None) -> Resolved:
    """Find weights, threads, cache and calibration photos once; a resolved configuration resolves to itself.

    Raises:
        UserError: a value is unknown or cannot be had.
    """
    environment = os.environ if environment is None else environment
    calibration = tuple(map(str, config.calibration))
    if registry.find(config.backend).calibrated:
        calibration = calibration or project_photos()
    if config.recipe not in RECIPES:
        raise UserError(f"recipe {config.recipe!r}", "is unknown", f"choose from {', '.join(RECIPES)}")
    threads = default_threads() if config.threads is None else check_threads(config.threads)
    cache_dir = expanded(config.cache_dir) if config.cache_dir else cache_folder(environment)
    weights = config.weights
    interface = MIDAS if config.model is not None else _at_size(dict(config.model_settings))
    if isinstance(weights, str) and config.model is not None:
        if weights != "auto":
            raise UserError(f"--weights {weights}", "has no use beside --model", "leave one of them out")
        # it imports onnx, which nothing else here needs
        from midas_bench.depth.custom_model import own_model

        weights = own_model(config.model, config.model_settings)
    elif isinstance(weights, str):
        weights = weights_module.resolve(weights, cache_dir, Release.from_environment(environment))
    if interface != MIDAS:
        weights = replace(weights, interface=interface)
    registry.check_runs(config.backend, weights)
    return Resolved(
        backend=config.backend,
        recipe=config.recipe,
        calibration=calibration,
        threads=threads,
        weights=weights,
        cache_dir=str(cache_dir),
        model=config.model,
        model_settings=config.model_settings,
    )


def _at_size(settings: Mapping[str, str]) -> NetworkInterface:
    """Return MiDaS_small's interface at the size that the settings ask for.

    Raises:
        UserError: a setting is for models of the user's own, or it is no size that the network takes.
    """
    others = [name for name in settings if name != "size"]
    if others:
        thing = FLAGS.get(others[0], others[0])
        raise UserError(thing, "is for a model of your own", "name the model by --model")
    height, width = read_settings(settings.items(), FLAGS.__getitem__).get("size", (MIDAS.height, MIDAS.width))
    if height % MIDAS_MULTIPLE or width % MIDAS_MULTIPLE:
        reason = f"has sides that are no multiples of {MIDAS_MULTIPLE}, as MiDaS_small's are"
        raise UserError(f"{FLAGS['size']} {settings['size']}", reason, "give height x width such as 160x256")
    return replace(MIDAS, height=height, width=width)
