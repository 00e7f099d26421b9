from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from midas_bench.web.device_files import SCRIPTS, STATIC, DeviceFile

EMPTY = DeviceFile(b"<!doctype html><title>empty</title>", "text/html", immutable=False)


@contextmanager
def site(find: Callable[[str], DeviceFile | None], headers: dict[str, str]) -> Iterator[str]:
    """Serve files on loopback below device/, and an empty page above them; gives the page's address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = EMPTY if self.path == "/" else find(self.path.removeprefix("/device/"))
            if found is None:
                self.send_error(404)
                return
            content = found.content if isinstance(found.content, bytes) else found.content.read_bytes()
            self.send_response(200)
            for name, value in {"Content-Type": found.media_type, **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="session")
def photo(project: Path) -> bytes:
    return (project / "fixtures/images/china.jpg").read_bytes()


@pytest.fixture(scope="module")
def scripts() -> Iterator[str]:
    """Serve the scripts alone."""

    def find(name: str) -> DeviceFile | None:
        return DeviceFile(STATIC / name, "text/javascript", immutable=False) if name in SCRIPTS else None

    with site(find, {}) as address:
        yield address


CALL = """async ([module, name, data, type, rest]) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const given = new globalThis[type](bytes.buffer);
    const result = (await import(`./device/${module}`))[name](given, ...rest);
    const out = new Uint8Array(result.buffer);
    let letters = "";
    for (let i = 0; i < out.length; i += 30000) letters += String.fromCharCode(...out.subarray(i, i + 30000));
    return btoa(letters);
}"""


@pytest.fixture
def call(new_page, scripts) -> Callable[..., bytes]:
    """Call a script's function in a real browser on an array and numbers: `call("resize.js", "area", array, ...)`."""
    page = new_page()
    page.goto(scripts)
    kinds = {"uint8": "Uint8Array", "float32": "Float32Array"}

    def called(module, name, array, *rest) -> bytes:
        data = base64.b64encode(array.tobytes()).decode()
        return base64.b64decode(page.evaluate(CALL, [module, name, data, kinds[array.dtype.name], list(rest)]))

    return called


ASK = """([message, photo]) => new Promise((resolve) => {
    const letters = (bytes) => {
        let text = "";
        for (let i = 0; i < bytes.length; i += 30000) text += String.fromCharCode(...bytes.subarray(i, i + 30000));
        return btoa(text);
    };
    window.worker ??= new Worker("device/depth-worker.js", { type: "module" });
    worker.onmessage = ({ data }) => {
        if (data.type === "progress") return;
        if (data.pixels) data.pixels = letters(data.pixels);
        if (data.depth) data.depth = letters(new Uint8Array(data.depth.buffer));
        resolve(data);
    };
    if (photo !== null) message.photo = Uint8Array.from(atob(photo), (letter) => letter.charCodeAt(0)).buffer;
    if (message.type === "load") message.base = new URL("device/", location).href;
    worker.postMessage(message);
})"""


class Worker:
    """The Worker of a page in a real browser."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def ask(self, photo: bytes | None = None, **message: Any) -> dict[str, Any]:
        """Send a message, and return the answer."""
        data = None if photo is None else base64.b64encode(photo).decode()
        answer: dict[str, Any] = self.page.evaluate(ASK, [message, data])
        if "pixels" in answer:
            pixels = np.frombuffer(base64.b64decode(answer["pixels"]), np.uint8)
            answer["pixels"] = pixels.reshape(answer["height"], answer["width"], 4)
        if "depth" in answer:
            answer["depth"] = np.frombuffer(base64.b64decode(answer["depth"]), np.float32)
        return answer

    def load(self, **message: Any) -> dict[str, Any]:
        return self.ask(type="load", model="fp32", threads=1, **message)

    def run(self, photo: bytes) -> dict[str, Any]:
        return self.ask(photo, type="run", id=1, depth=True)


@pytest.fixture
def worker(new_page) -> Callable[[str], Worker]:
    """Open a page, and give its Worker: `worker(address)`."""

    def opened(address: str) -> Worker:
        page = new_page()
        page.goto(address)
        return Worker(page)

    return opened
