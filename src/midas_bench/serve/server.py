"""The application behind waitress: in memory, bounded, and finishing what it accepted before it stops."""

from __future__ import annotations

import contextlib
import errno
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from waitress.server import create_server

from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.errors import UserError
from midas_bench.serve.app import Service, create_app
from midas_bench.serve.channel import Channel
from midas_bench.serve.engine import Engine
from midas_bench.serve.serve_config import ServeConfig

SPARE_THREADS = 8
"""Threads beyond those that hold accepted photos: for health checks, for the page, and for refusing without delay."""
RECEIVE_BYTES = 256 << 10
HEADERS_BYTES = 32 << 10
"""Limit of a request's head, as in other servers: the time to parse an Accept header grows with its square."""
BACKLOG = 1024
CONNECTIONS = 512
"""At this limit, a new connection replaces the one whose client has been silent for the longest time."""
SILENT_S = 30
"""A connection on which nothing moves for so long is closed. waitress closes those whose client should send. It would
wait without end for a client that does not read its answer."""
CHECK_S = 0.25
IDLE_S = 0.5
"""How long a stopping server still listens to a connection that may have a request under way."""
UPLOADS_S = 4.0
"""How long a stopping server still waits for the rest of requests that are being received."""
DRAIN_S = 8.0
"""Time for fetching answers, after the deadline of photos. With the two below, a stopping server needs 10 s at most."""
THREADS_S = 1.0
WORKERS_S = 0.5
"""How long threads and workers get to end; by then no client waits for them."""


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
        # requests that wait for a thread are usual here, and not worth a warning
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        listening = _listening_socket(host, port)
        held = config.queue_size + self.engine.workers * config.batch
        self._sockets: dict[int, Any] = {}
        self._http = create_server(
            app,
            map=self._sockets,
            sockets=[listening],
            threads=held + SPARE_THREADS,
            ident="midas-bench",
            max_request_header_size=HEADERS_BYTES,
            # waitress refuses bodies of this size and more
            max_request_body_size=config.max_upload_bytes + 1,
            # without a limit, so that no upload and no answer goes to a temporary file
            inbuf_overflow=sys.maxsize,
            outbuf_overflow=sys.maxsize,
            recv_bytes=RECEIVE_BYTES,
            # waitress counts its own two sockets too
            connection_limit=CONNECTIONS + 3,
            channel_timeout=SILENT_S,
            cleanup_interval=SILENT_S // 3,
            # select() is limited to 1024 descriptors
            asyncore_use_poll=True,
            # clients that disconnect are usual, too
            log_socket_errors=False,
        )
        self._http.channel_class = Channel
        self._http.room_bytes = held * config.max_upload_bytes
        address, taken_port = listening.getsockname()[:2]
        self.url = f"http://[{address}]:{taken_port}" if ":" in address else f"http://{address}:{taken_port}"
        self._next_look_s = 0.0
        self._stop = threading.Event()
        # reentrant, because a signal handler may need it while its own thread holds it
        self._end_lock = threading.RLock()
        self._ended = False
        self._failure: BaseException | None = None
        self._loaded = threading.Event()

    def run(self, ready: Callable[[], object] = lambda: None) -> bool:
        """Answer until `stop` is called; `ready` is called when the model is loaded and warm.

        Health checks are answered while it loads. Photos that were accepted are finished before this returns.

        Returns:
            whether all has ended; loading the model cannot be stopped, nor can a decoder or the network, and they may
                still go on.

        Raises:
            UserError: the model cannot be loaded.
        """
        threading.Thread(target=self._load, args=(ready,), name="midas-bench-load", daemon=True).start()
        while not self._stop.is_set():
            self._serve_once(CHECK_S * 4)
        self._drain()
        if self._failure is not None:
            raise self._failure
        if not self._loaded.is_set():
            return False
        return self.engine.close(WORKERS_S)

    def stop(self) -> None:
        """Make `run` finish what was accepted and return; may be called from anywhere, a signal handler included."""
        # under the lock, because after the end the trigger's descriptor may belong to something else
        with self._end_lock:
            self._stop.set()
            if not self._ended:
                self._http.pull_trigger()

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
        self._loaded.set()
        # the reader of standard output may be gone
        with contextlib.suppress(OSError):
            ready()

    def _serve_once(self, timeout_s: float) -> None:
        if len(self._http.active_channels) >= CONNECTIONS:
            silent = [channel for channel in self._http.active_channels.values() if channel.awaits_client]
            if silent:
                min(silent, key=lambda channel: channel.last_activity).handle_close()
        self._http.asyncore.loop(timeout=timeout_s, use_poll=True, map=self._sockets, count=1)
        if time.monotonic() > self._next_look_s:
            self._next_look_s = time.monotonic() + SILENT_S / 3
            for unread in [channel for channel in self._http.active_channels.values() if channel.is_unread(SILENT_S)]:
                unread.handle_close()

    def _drain(self) -> None:
        """Accept the connections that wait, close the port, and answer every client.

        A client that connects between the last accept and the close is reset: no system call does both.
        """
        self._http.socket.setblocking(False)
        # at most as many as the system has queued: new connections could arrive without an end
        for _ in range(BACKLOG):
            before = len(self._http.active_channels)
            self._http.handle_accept()
            if before == len(self._http.active_channels):
                break
        self._http.accepting = False
        self._http.del_channel()
        self._http.socket.close()
        # only now, when the port is closed and each answer is its connection's last
        self.engine.drain()
        begun_s = time.monotonic()
        until_s = begun_s + self._config.deadline_s + DRAIN_S
        while self._http.active_channels and time.monotonic() < until_s:
            self._serve_once(CHECK_S)
            # waitress uses the clock of `time.time`
            settled_s = time.time() - IDLE_S
            for channel in list(self._http.active_channels.values()):
                if channel.idle and channel.last_activity < settled_s:
                    channel.will_close = True
                elif time.monotonic() > begun_s + UPLOADS_S:
                    channel.give_up()
        self._http.task_dispatcher.shutdown(cancel_pending=True, timeout=THREADS_S)
        with self._end_lock:
            self._ended = True
            self._http.asyncore.close_all(self._sockets)


def _listening_socket(host: str, port: int) -> socket.socket:
    thing = f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            # the port is ours only after `listen`: others may bind the same one
            listening.listen(BACKLOG)
        except BaseException:
            listening.close()
            raise
    # UnicodeError: the name cannot be a host's name
    except (OSError, OverflowError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise UserError(thing, "is taken", "choose another --port, or 0 for a free one") from error
        raise UserError(thing, f"cannot be listened on ({error})", "check --host and --port") from error
    return listening
