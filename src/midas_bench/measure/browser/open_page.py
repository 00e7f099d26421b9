"""A page that measures, opened in a bare browser; and its rounds as the calls of a worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midas_bench.depth.backends import registry
from midas_bench.depth.config import PipelineConfig, Resolved, resolve
from midas_bench.depth.interface import NetworkInterface
from midas_bench.measure.browser.chromium import Chromium
from midas_bench.measure.browser.page_server import Answer, PageServer
from midas_bench.measure.memory_sampler import SharedMemory
from midas_bench.processes import ProcessDiedError
from midas_bench.web.device_files import MAX_PIXELS, DeviceFiles
from midas_bench.web.device_graphs import BACKENDS

CALLS = "midas_bench.measure.browser.open_page:calls"
OPEN_TIMEOUT_S = 60.0
LOAD_TIMEOUT_S = 300.0
ANSWER_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class PageTimes:
    """What the page's own clock says of one call; a worker reports it in place of its own.

    Attributes:
        timed_elsewhere_s: seconds of the whole call.
        parts_s: of each stage, where stages were timed.
    """

    timed_elsewhere_s: float
    parts_s: Mapping[str, float]


@dataclass(frozen=True)
class Load:
    """What a page downloads and waits for before its first photo.

    Attributes:
        bytes: that are downloaded: runtime, decoder and graph.
        download_s: from this machine's own server.
        compile_s: to compile the runtime and open the graph.
        first_inference_s: of the network.
    """

    bytes: int
    download_s: float
    compile_s: float
    first_inference_s: float


class OpenPage:
    """A page in a browser of its own.

    Attributes:
        opened_s: seconds from starting the browser until the page asked for its first question.
    """

    def __init__(self, server: PageServer, browser: Chromium, interface: NetworkInterface | None = None) -> None:
        self._server = server
        self._browser = browser
        self._interface = interface
        start_s = time.perf_counter()
        self._ask(OPEN_TIMEOUT_S, do="hello")
        self.opened_s = time.perf_counter() - start_s
        # an unknown flag is told, and then ignored
        browser.check()

    def load(self, model: str, threads: int) -> Load:
        """Load a graph by its name, with so many threads.

        Raises:
            ProcessDiedError: the page cannot, has another number of threads, or the browser ended.
        """
        ready = self._ask(LOAD_TIMEOUT_S, do="load", model=model, threads=threads)
        if ready["threads"] != threads:
            why = "" if ready["isolated"] else ": it is not isolated from other pages"
            raise ProcessDiedError(f"the page has {ready['threads']} threads in place of {threads}{why}")
        took_s = {name: milliseconds / 1000 for name, milliseconds in ready["load_ms"].items()}
        return Load(
            bytes=ready["bytes"],
            download_s=took_s["download"],
            compile_s=took_s["compile"],
            first_inference_s=took_s["first_inference"],
        )

    def round(self, *, inference_only: bool = False) -> PageTimes:
        """Let the page time one run of the photo, or of the network alone.

        Raises:
            ProcessDiedError: the page cannot, or the browser ended.
        """
        timed = self._ask(ANSWER_TIMEOUT_S, do="rounds", inferenceOnly=inference_only)
        [round_ms] = timed["rounds_ms"]
        stages_ms: Mapping[str, float] = next(iter(timed["stages_ms"]), {})
        return PageTimes(round_ms / 1000, {stage: taken / 1000 for stage, taken in stages_ms.items()})

    def depth(self) -> NDArray[np.float32]:
        """Return the depth of the photo, float32 (H, W).

        Raises:
            ProcessDiedError: the page cannot, or the browser ended.
        """
        answer = self._ask(ANSWER_TIMEOUT_S, do="depth")
        assert self._interface is not None
        return np.asarray(answer["depth"], np.float32).reshape(self._interface.height, self._interface.width)

    def kernel(self) -> PageTimes:
        """Return the least time of the known kernel, which tells the compiler that made its code.

        Raises:
            ProcessDiedError: the page cannot, or the browser ended.
        """
        return PageTimes(self._ask(ANSWER_TIMEOUT_S, do="kernel")["least_ms"] / 1000, {})

    def memory(self) -> SharedMemory | None:
        """Return the memory of the browser's processes now; None where the system does not tell."""
        return self._browser.memory()

    def _ask(self, timeout_s: float, **question: Any) -> Answer:
        return self._server.ask(question, timeout_s, self._browser.check)


@contextmanager
def open_page(
    files: DeviceFiles | None = None,
    photo: bytes = b"",
    js_flags: Sequence[str] = (),
    profiles: str | None = None,
) -> Iterator[OpenPage]:
    """Open the page in a fresh browser, and end both afterwards.

    Args:
        files: for computing depth; without them only the kernel can be timed.
        photo: encoded.
        js_flags: for V8.
        profiles: the folder for the browser's profile.

    Raises:
        UserError: there is no browser.
        ProcessDiedError: it ended, or did not open the page in time.
    """
    with PageServer(files, photo) as server, Chromium(server.address, js_flags, profiles) as browser:
        yield OpenPage(server, browser, files.interface if files else None)


def device_files(config: Resolved, assets: Path) -> DeviceFiles:
    """Return what the page needs to run one backend's graph, under the name that the page has for it.

    Raises:
        UserError: the graph cannot be made.
    """
    model = next(name for name, backend in BACKENDS.items() if backend == config.backend)
    graph = registry.prepare(config.backend, config.weights, Path(config.cache_dir), config.calibration)
    assert graph is not None
    return DeviceFiles({model: graph.path}, config.weights.interface, assets, MAX_PIXELS)


@contextmanager
def calls(
    photos: Sequence[bytes],
    assets: str,
    profiles: str | None = None,
    js_flags: Sequence[str] = (),
    **config: Any,
) -> Iterator[dict[str, Callable[[], object]]]:
    """Yield the calls of a page on one photo, for a worker, in the names that `depth.calls` has.

    `pipeline` and `inference` are timed in the page; so is `kernel`. `depth` gives float32 (1, H, W).

    Args:
        photos: one encoded photo.
        assets: the folder of what is taken from npm's packages.
        profiles: the folder for the browser's profile.
        js_flags: for V8.
        config: fields of `PipelineConfig`; its backend is the one that runs the graph natively.

    Raises:
        UserError: there is no browser, or the graph cannot be made.
        ProcessDiedError: the page cannot load it, or gets other threads.
    """
    [photo] = photos
    resolved = resolve(PipelineConfig(**config))
    files = device_files(resolved, Path(assets))
    with open_page(files, photo, js_flags, profiles) as page:
        [model] = files.graphs
        page.load(model, resolved.threads)
        yield {
            "pipeline": page.round,
            "inference": partial(page.round, inference_only=True),
            "kernel": page.kernel,
            "depth": lambda: page.depth()[None],
        }
