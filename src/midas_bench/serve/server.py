"""The application behind cheroot: in memory, bounded, and finishing what it accepted before it stops."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import queue
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from cheroot.wsgi import Server

from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.errors import UserError
from midas_bench.serve.app import Service, create_app
from midas_bench.serve.engine import Engine
from midas_bench.serve.serve_config import ServeConfig

SPARE_THREADS = 16
"""Threads beyond those that hold accepted photos: for uploads, health checks and the page, and for refusing at once."""
HEADERS_BYTES = 32 << 10
BACKLOG = 1024
CONNECTIONS = 512
"""Connections that may stay open without a request; beyond them, each is closed behind its answer."""
SILENT_S = 10
"""A connection on which nothing moves for so long is closed."""
UPLOADS_S = 4
"""How long a stopping server still waits for the rest of requests that are being received."""
DRAIN_S = 8.0
"""Time for fetching answers, after the deadline of photos. With the one below, a stopping server needs 10 s at most."""
WORKERS_S = 0.5
"""How long workers get to end; by then no client waits for them."""


class _HttpServer(Server):
    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Log the server's own errors; clients that disconnect are usual."""
        logging.getLogger(__name__).log(level, msg, exc_info=traceback)

    @staticmethod
    def bind_socket(socket_: socket.socket, bind_addr: Any) -> socket.socket:
        """Bind the socket, or close it; cheroot leaves it open."""
        try:
            socket_.bind(bind_addr)
        except BaseException:
            socket_.close()
            raise
        return socket_


class DepthServer:
    """A server that holds its port.

    Attributes:
        url: of the page.
        engine: computes the depth of photos.
    """

    def __init__(
        self, config: ServeConfig, host: str, port: int, open_pipeline: Callable[[], DepthPipeline] | None = None
    ) -> None:
        """Take the port; 0 takes a free one. `open_pipeline` opens the engine's pipeline.

        Raises:
            UserError: the address, the pipeline's weights or its threads are not available.
        """
        app = create_app(config, open_pipeline)
        service: Service = app.extensions["midas_bench"]
        self.engine: Engine = service.engine
        self._config = config
        threads = config.queue_size + self.engine.workers * config.batch + SPARE_THREADS
        self._http = _HttpServer(
            (host, port),
            app,
            numthreads=threads,
            max=threads,
            server_name="midas-bench",
            request_queue_size=BACKLOG,
            timeout=SILENT_S,
            shutdown_timeout=UPLOADS_S,
        )
        self._http.keep_alive_conn_limit = CONNECTIONS
        self._http.max_request_header_size = HEADERS_BYTES
        _take_port(self._http, f"{host}:{port}")
        address, taken_port = self._http.bind_addr
        self.url = f"http://[{address}]:{taken_port}" if ":" in address else f"http://{address}:{taken_port}"
        # unlike an Event, a signal handler may use it while its own thread is inside it
        self._stop: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._loaded = False

    def run(self, ready: Callable[[], object] = lambda: None) -> bool:
        """Answer until `stop` is called; `ready` is called when the model is loaded and warm.

        Health checks are answered while it loads. Photos that were accepted are finished before this returns.

        Returns:
            whether all has ended; loading the model cannot be stopped, nor can a decoder or the network, and they may
                still go on.

        Raises:
            UserError: the model cannot be loaded.
        """
        threading.Thread(target=self._http.serve, name="midas-bench-http", daemon=True).start()
        threading.Thread(target=self._load, args=(ready,), name="midas-bench-load", daemon=True).start()
        self._stop.get()
        answered = self._drain()
        if self._failure is not None:
            raise self._failure
        return self._loaded and self.engine.close(WORKERS_S) and answered

    def stop(self) -> None:
        """Make `run` finish what was accepted and return; may be called from anywhere, a signal handler included."""
        self._stop.put(None)

    def stop_on_signals(self) -> None:
        """Stop on SIGTERM and SIGINT; a second one does what it always does."""

        def stop_once(number: int, _frame: FrameType | None) -> None:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            self.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop_once)

    def _load(self, ready: Callable[[], object]) -> None:
        try:
            self.engine.start()
        except BaseException as error:
            self._failure = error
            self.stop()
            return
        self._loaded = True
        # the reader of standard output may be gone
        with contextlib.suppress(OSError):
            ready()

    def _drain(self) -> bool:
        """Close the port and answer every client; return whether all answers are sent.

        A client that connects in the instant before the close is reset: no system call both accepts and closes.
        """
        self.engine.drain()
        # in a thread, because it waits without end for a thread that sends to a slow client
        stopping = threading.Thread(target=self._http.stop, name="midas-bench-stop", daemon=True)
        stopping.start()
        stopping.join(self._config.deadline_s + DRAIN_S)
        return not stopping.is_alive()


def _take_port(http: Server, thing: str) -> None:
    try:
        http.prepare()
    # UnicodeError: the name cannot be a host's name
    except (OSError, OverflowError, UnicodeError) as error:
        if http.socket:
            http.socket.close()
        # cheroot passes on the words of the system, but not always its number
        if os.strerror(errno.EADDRINUSE) in str(error):
            raise UserError(thing, "is taken", "choose another --port, or 0 for a free one") from error
        raise UserError(thing, f"cannot be listened on ({error})", "check --host and --port") from error
