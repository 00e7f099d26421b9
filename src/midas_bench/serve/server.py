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
"""Beyond those that hold accepted photos: for health checks, the page, and for refusing without delay."""
RECEIVE_BYTES = 256 << 10
HEADERS_BYTES = 32 << 10
"""Of a request's head, as other servers have it; the time for taking an Accept header apart grows with its square."""
BACKLOG = 1024
CONNECTIONS = 512
"""From then on a new one takes the place of the one whose client has owed its next word for the longest time."""
SILENT_S = 30
"""A connection on which nothing moves for so long is closed. waitress sees to those that should send; it would leave
one that does not read its answer, for which it waits until the socket takes more."""
CHECK_S = 0.25
IDLE_S = 0.5
"""How long a stopping server still listens to a connection that may have a request under way."""
UPLOADS_S = 4.0
"""How long a stopping server still waits for the rest of requests that are being received."""
DRAIN_S = 8.0
"""Beyond the deadline of photos, for fetching answers. With the two below, a stopping server needs 10 s at most."""
THREADS_S = 1.0
WORKERS_S = 0.5
"""How long threads and workers, which by then nobody waits for, get to come to their end."""


class DepthServer:
    """A server that has its port.

    Attributes:
        url: where it answers.
        engine: what works on photos.
    """

    def __init__(
        self, config: ServeConfig, host: str, port: int, opened: Callable[[], DepthPipeline] | None = None
    ) -> None:
        """Take the port; 0 takes a free one. `opened` is the engine's.

        Raises:
            UserError: the address cannot be had, or the pipeline's weights or threads cannot.
        """
        app = create_app(config, opened)
        service: Service = app.extensions["midas_bench"]
        self.engine: Engine = service.engine
        self._config = config
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # requests that wait for a thread are no news
        listening = _listening(host, port)
        held = config.queue_size + self.engine.workers * config.batch
        self._sockets: dict[int, Any] = {}
        self._http = create_server(
            app,
            map=self._sockets,
            sockets=[listening],
            threads=held + SPARE_THREADS,
            ident="midas-bench",
            max_request_header_size=HEADERS_BYTES,
            max_request_body_size=config.max_upload_bytes + 1,  # waitress refuses from there on
            # to the end of memory: an upload or an answer never goes to a temporary file
            inbuf_overflow=sys.maxsize,
            outbuf_overflow=sys.maxsize,
            recv_bytes=RECEIVE_BYTES,
            connection_limit=CONNECTIONS + 3,  # it counts its own two sockets
            channel_timeout=SILENT_S,
            cleanup_interval=SILENT_S // 3,
            asyncore_use_poll=True,  # select() ends at 1024 descriptors
            log_socket_errors=False,  # clients that go away are no news either
        )
        self._http.channel_class = Channel
        self._http.room_bytes = held * config.max_upload_bytes
        name, taken = listening.getsockname()[:2]
        self.url = f"http://[{name}]:{taken}" if ":" in name else f"http://{name}:{taken}"
        self._next_look_s = 0.0
        self._stop = threading.Event()
        self._ending = threading.RLock()  # a signal may come while it is held
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
            self._turn(CHECK_S * 4)
        self._drain()
        if self._failure is not None:
            raise self._failure
        if not self._loaded.is_set():
            return False
        return self.engine.close(WORKERS_S)

    def stop(self) -> None:
        """Make `run` finish what was accepted and return; may be called from anywhere, a signal handler included."""
        with self._ending:  # not into a descriptor that is closed, or another's by now
            self._stop.set()
            if not self._ended:
                self._http.pull_trigger()

    def stop_on_signals(self) -> None:
        """Stop on SIGTERM and SIGINT; a second one does what it always does."""

        def heard(number: int, _frame: FrameType | None) -> None:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            self.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, heard)

    def _load(self, ready: Callable[[], object]) -> None:
        try:
            self.engine.start()
        except BaseException as error:
            self._failure = error
            self.stop()
            return
        self._loaded.set()
        with contextlib.suppress(OSError):  # nobody may be there to read what it prints
            ready()

    def _turn(self, timeout_s: float) -> None:
        if len(self._http.active_channels) >= CONNECTIONS:
            silent = [channel for channel in self._http.active_channels.values() if channel.awaits_client]
            if silent:
                min(silent, key=lambda channel: channel.last_activity).handle_close()
        self._http.asyncore.loop(timeout=timeout_s, use_poll=True, map=self._sockets, count=1)
        if time.monotonic() > self._next_look_s:
            self._next_look_s = time.monotonic() + SILENT_S / 3
            for channel in [one for one in self._http.active_channels.values() if one.is_unread(SILENT_S)]:
                channel.handle_close()

    def _drain(self) -> None:
        """Take in who has connected, close the port, and answer everyone.

        Who connects in the instant between the last look and the close is reset, not refused: no system call does both.
        """
        self._http.socket.setblocking(False)
        # connections that the system has made for us already; new ones may come without an end
        for _ in range(BACKLOG):
            before = len(self._http.active_channels)
            self._http.handle_accept()
            if before == len(self._http.active_channels):
                break
        self._http.accepting = False
        self._http.del_channel()
        self._http.socket.close()
        self.engine.drain()  # from now on the port is closed, and each answer is its connection's last
        begun_s = time.monotonic()
        until_s = begun_s + self._config.deadline_s + DRAIN_S
        while self._http.active_channels and time.monotonic() < until_s:
            self._turn(CHECK_S)
            settled_s = time.time() - IDLE_S  # waitress's clock
            for channel in list(self._http.active_channels.values()):
                if channel.idle and channel.last_activity < settled_s:
                    channel.will_close = True
                elif time.monotonic() > begun_s + UPLOADS_S:
                    channel.give_up()
        self._http.task_dispatcher.shutdown(cancel_pending=True, timeout=THREADS_S)
        with self._ending:
            self._ended = True
            self._http.asyncore.close_all(self._sockets)


def _listening(host: str, port: int) -> socket.socket:
    thing = f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)  # only now is the port ours: others may bind the same one
        except BaseException:
            listening.close()
            raise
    except (OSError, OverflowError, UnicodeError) as error:  # the last is of a name that no network has
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise UserError(thing, "is taken", "choose another --port, or 0 for any that is free") from error
        raise UserError(thing, f"cannot be listened on ({error})", "check --host and --port") from error
    return listening
