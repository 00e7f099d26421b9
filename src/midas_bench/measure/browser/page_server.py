"""The page that measures, on loopback: its files, the device's files, and the questions that it asks for.

The page holds a request open until there is a question, and posts its answer. So nothing has to be attached to it.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from midas_bench.processes import ProcessDiedError
from midas_bench.web.device_files import ISOLATED, DeviceFile, DeviceFiles

PAGE = Path(__file__).with_name("page")
PAGE_FILES = {"bench.html": "text/html", "bench.js": "text/javascript", "kernel-worker.js": "text/javascript"}
FOR_EVER = "max-age=31536000, immutable"
HELD_S = 20.0
"""How long a request for a question is kept waiting."""
LOOK_S = 0.2
"""How often the browser is looked at while it owes an answer."""

Answer = dict[str, Any]


class PageFailedError(ProcessDiedError):
    """The page answered that it cannot do what it was asked."""


class PageServer:
    """A server for one page, and the questions and answers between the two.

    Args:
        files: for computing on the device; None where the page has no need of them.
        photo: encoded.
    """

    def __init__(self, files: DeviceFiles | None = None, photo: bytes = b"") -> None:
        self._files = files
        self._photo = photo
        self._questions: queue.Queue[Answer] = queue.Queue()
        self._answers: queue.Queue[Answer] = queue.Queue()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server._get(self)

            def do_POST(self) -> None:
                server._answers.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                _send(self, 204)

            def log_message(self, *_: object) -> None:
                """Say nothing: the terminal belongs to the run."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/bench.html"

    def ask(self, question: Mapping[str, Any], timeout_s: float, check: Callable[[], None] = lambda: None) -> Answer:
        """Give the page a question, and return its answer.

        Args:
            question: `do` names it; the rest is as `bench.js` has it.
            timeout_s: until it must be there.
            check: called meanwhile; raises where no answer can come any more.

        Raises:
            ProcessDiedError: there was none in time.
            PageFailedError: the page cannot do it.
        """
        self._questions.put(dict(question))
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            try:
                answer = self._answers.get(timeout=LOOK_S)
            except queue.Empty:
                check()
                continue
            if answer.get("type") == "failed":
                reason = " ".join(answer[key] for key in ("detail", "next_step") if answer.get(key))
                raise PageFailedError(f"the page cannot {question['do']}: {answer['title']}: {reason}")
            return answer
        raise ProcessDiedError(f"the page: no answer to {question['do']} within {timeout_s:.0f} s")

    def _get(self, handler: BaseHTTPRequestHandler) -> None:
        path = urlsplit(handler.path).path.lstrip("/")
        if path == "next":
            self._next(handler)
        elif path in PAGE_FILES:
            _send(handler, 200, (PAGE / path).read_bytes(), PAGE_FILES[path])
        elif path == "photo":
            _send(handler, 200, self._photo, "application/octet-stream")
        elif found := self._device_file(path):
            content = found.content if isinstance(found.content, bytes) else found.content.read_bytes()
            _send(handler, 200, content, found.media_type, FOR_EVER if found.immutable else "no-cache")
        else:
            _send(handler, 404)

    def _device_file(self, path: str) -> DeviceFile | None:
        folder, _, name = path.partition("/")
        return self._files.find(name) if self._files and folder == "device" else None

    def _next(self, handler: BaseHTTPRequestHandler) -> None:
        try:
            question = self._questions.get(timeout=HELD_S)
        except queue.Empty:
            _send(handler, 204)
            return
        _send(handler, 200, json.dumps(question).encode(), "application/json")

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()


def _send(
    handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", media_type: str = "", cached: str = "no-store"
) -> None:
    # the browser may be gone
    try:
        handler.send_response(status)
        headers = {**ISOLATED, "Cache-Control": cached, "Content-Length": str(len(body))}
        for name, value in (headers | ({"Content-Type": media_type} if media_type else {})).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
    except ConnectionError:
        handler.close_connection = True
