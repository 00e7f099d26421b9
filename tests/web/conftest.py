from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

STATIC = Path(__file__).parents[2] / "src/midas_bench/web/static"


@pytest.fixture(scope="module")
def scripts() -> Iterator[str]:
    """Serve the scripts on loopback, and an empty page beside them; gives the address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(STATIC))

        def do_GET(self) -> None:
            if self.path.endswith("/"):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(b"<!doctype html><title>empty</title>")
            else:
                super().do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


CALL = """async ([module, name, data, type, rest]) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const given = new globalThis[type](bytes.buffer);
    const result = (await import(`./${module}`))[name](given, ...rest);
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
