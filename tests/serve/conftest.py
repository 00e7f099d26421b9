"""Servers to ask: with a network of known behaviour, or the real one."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from midas_bench.depth.config import PipelineConfig, resolve
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.serve.serve_config import ServeConfig
from midas_bench.web.device_graphs import open_device_files

WAIT_S = 60.0
"""Far more than anything here takes, even on a machine that stands still for seconds: a test that hangs ends."""


class Network:
    """Stands in for the network: a ramp of depth, when the gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.batches: list[int] = []
        self.closed = False
        self.noise = False
        self.depth: float | None = None
        self.depth_of: Callable[[Any], float | None] = lambda _: self.depth
        self.fails: Exception | None = None
        self.most_at_a_time = 0
        self._inside = 0
        self._lock = threading.Lock()

    def __call__(self, batch):
        with self._lock:
            self._inside += 1
            self.most_at_a_time = max(self.most_at_a_time, self._inside)
            self.batches.append(len(batch))
        self.entered.release()
        assert self.gate.wait(WAIT_S)
        with self._lock:
            self._inside -= 1
        if self.fails:
            raise self.fails
        if self.noise:
            return np.random.default_rng(1).random((len(batch), 256, 256), np.float32)
        ramp = np.linspace(0, 1, 256, dtype=np.float32)
        depth = np.broadcast_to(ramp, (len(batch), 256, 256)).copy()
        for photo, one in zip(batch, depth, strict=True):
            if (number := self.depth_of(photo)) is not None:
                one[7, 9] = number
        return depth

    def close(self) -> None:
        self.closed = True

    def hold(self) -> None:
        """Keep every photo that comes from now on; forget the warm-up."""
        self.gate.clear()
        while self.entered.acquire(blocking=False):
            pass
        self.batches.clear()

    def wait_entered(self) -> None:
        assert self.entered.acquire(timeout=WAIT_S)


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    yield made
    made.gate.set()


@pytest.fixture
def callers(network):
    """Give threads to call from; they end when the network lets go of what they wait for."""
    with ThreadPoolExecutor(64) as pool:
        yield pool
        network.gate.set()


@pytest.fixture(scope="session")
def resolved(tmp_path_factory):
    return resolve(PipelineConfig(threads=1, weights="seeded", cache_dir=str(tmp_path_factory.mktemp("unused"))))


@pytest.fixture
def opened(network, resolved) -> Callable[[], DepthPipeline]:
    return lambda: DepthPipeline(resolved, network)


@pytest.fixture
def configured(resolved) -> Callable[..., ServeConfig]:
    """Configure a server on which photos that a test holds back do not meet their deadline."""
    return partial(ServeConfig, pipeline=resolved, deadline_s=WAIT_S)


@dataclass
class Reply:
    status: int
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@pytest.fixture(scope="session")
def ask() -> Callable[..., Reply]:
    """Send one request on a connection of its own, and read the whole answer."""

    def asked(url: str, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=WAIT_S)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    return asked


@pytest.fixture(scope="session")
def form() -> Callable[..., dict[str, Any]]:
    """Give body and header of a form: `ask(url, "POST", "/", **form(photo=data))`."""

    def made(**fields: bytes | str) -> dict[str, Any]:
        parts = b""
        for name, value in fields.items():
            file = isinstance(value, bytes)
            head = f'Content-Disposition: form-data; name="{name}"' + ('; filename="my photo.jpg"' if file else "")
            parts += f"--edge\r\n{head}\r\n\r\n".encode() + (value if file else value.encode()) + b"\r\n"
        return {"body": parts + b"--edge--\r\n", "Content_Type": "multipart/form-data; boundary=edge"}

    return made


@pytest.fixture(scope="session")
def serving() -> Callable[..., Any]:
    """Run a server in a thread: `with serving(config, opened) as server`."""

    @contextmanager
    def running(config, opened=None, ready: bool = True):
        from midas_bench.serve.server import DepthServer

        server = DepthServer(config, "127.0.0.1", 0, opened)
        loaded = threading.Event()
        ended: list[BaseException | None] = []

        def run() -> None:
            try:
                server.run(loaded.set)
                ended.append(None)
            except BaseException as error:
                ended.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            assert not ready or loaded.wait(WAIT_S)
            yield server
        finally:
            server.stop()
            thread.join(2 * WAIT_S)
        assert ended == [None]

    return running


@pytest.fixture(scope="session")
def below_path() -> Callable[..., Any]:
    """Run a proxy that strips a prefix: `with below_path(url, "/some/where") as url_of_the_page`.

    In place of a URL, a function may give it for each request. Headers in `without` are left out of answers.
    """

    @contextmanager
    def proxied(url: str | Callable[[], str], prefix: str, without: Collection[str] = ()):
        class Proxy(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if not self.path.startswith(f"{prefix}/"):
                    self.send_error(404, "outside of the prefix")
                    return
                target = url() if callable(url) else url
                connection = http.client.HTTPConnection(urlsplit(target).netloc, timeout=WAIT_S)
                connection.request(self.command, self.path.removeprefix(prefix), body, dict(self.headers))
                answer = connection.getresponse()
                data = answer.read()
                connection.close()
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name not in without:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = forward  # noqa: N815  # the names that http.server looks for

            def log_message(self, *_: Any) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
            proxy.daemon_threads = True
            threading.Thread(target=proxy.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{proxy.server_address[1]}{prefix}/"
            proxy.shutdown()

    return proxied


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], bool]], None]:
    """Wait for a condition, but not for ever."""

    def wait(condition: Callable[[], bool]) -> None:
        end_s = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end_s
            time.sleep(0.002)

    return wait


@pytest.fixture(scope="session")
def samples(photos):
    return tuple(photos.values())


@pytest.fixture(scope="session")
def photo(project: Path) -> bytes:
    return (project / "fixtures/images/china.jpg").read_bytes()


@pytest.fixture(scope="session")
def device_files(prepared, web_assets):
    """Give what browsers compute with: the real runtime, and both graphs of seeded weights."""
    prepared("onnx-int8")
    pipeline = resolve(PipelineConfig("onnx", threads=1, weights="seeded", cache_dir=str(web_assets)))
    return open_device_files(pipeline, ServeConfig().max_pixels, lambda _: None)
