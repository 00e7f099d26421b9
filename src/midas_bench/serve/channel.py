"""A connection that lets the application word refusals, lingers after them, and closes when the server stops."""

from __future__ import annotations

import io
import socket
import time
from typing import Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.task import WSGITask

from midas_bench.serve.app import ARRIVED, REFUSED
from midas_bench.serve.request_limits import LimitedRequestParser

LINGER_S = 2.0
LINGER_BYTES = 64 << 20
"""Bytes to read and drop after a refusal: otherwise the reset of the connection would lose the answer for a client
that still sends."""


class RequestTask(WSGITask):  # type: ignore[misc]  # waitress has no types
    """Serve a request; the last one on its connection if the server is stopping."""

    def get_environment(self) -> dict[str, Any]:
        """Return the request's environment, with the time of its arrival."""
        environment: dict[str, Any] = super().get_environment()
        environment[ARRIVED] = self.request.arrived_s
        return environment

    def build_response_header(self) -> bytes:
        """Announce the close of the connection in the last response that a stopping server sends on it."""
        if self.channel.stopping():
            self.set_close_on_finish()
        # from now on the client must read
        self.channel.last_activity = time.time()
        header: bytes = super().build_response_header()
        return header


class RefusedTask(RequestTask):
    """Let the application word the answer to a request that waitress refused, such as one with too large a body."""

    def get_environment(self) -> dict[str, Any]:
        """Return the request's environment, without its body, and with the status to answer."""
        refused = self.request
        # without a path, the first line could not be parsed
        if not hasattr(refused, "path"):
            refused.command, refused.path, refused.query, refused.request_uri = "GET", "", "", ""
            refused.url_scheme = self.channel.adj.url_scheme
        environment = super().get_environment()
        error = (refused.error.code, refused.error.body)
        environment.update({"wsgi.input": io.BytesIO(), "CONTENT_LENGTH": "0", REFUSED: error})
        return environment

    def execute(self) -> None:
        """Answer, and close the connection: waitress would parse the rest of the body as a request."""
        self.set_close_on_finish()
        super().execute()


class Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """A client's connection."""

    task_class = RequestTask
    error_task_class = RefusedTask

    close_when_flushed: bool
    request: Any

    _refuses = False
    _lingers_until_s: float | None = None
    _lingered_bytes = 0

    def stopping(self) -> bool:
        """Tell whether the server takes no more connections."""
        return not self.server.accepting

    @property
    def idle(self) -> bool:
        """Whether nothing is being received, worked on or sent; bytes that follow a refused request do not count."""
        if self._lingers_until_s is not None:
            return True
        return self.awaits_client and not self.request

    @property
    def awaits_client(self) -> bool:
        """Whether the client must send a request, or the rest of one."""
        return not (self.requests or self.total_outbufs_len or self.close_when_flushed)

    def is_unread(self, silent_s: float) -> bool:
        """Tell whether its client has read nothing for `silent_s` seconds; a thread may wait for that."""
        return bool(self.total_outbufs_len) and self.last_activity < time.time() - silent_s

    @property
    def body_bytes(self) -> int:
        """Bytes that have arrived of bodies without an answer yet."""
        return sum(request.body_bytes_received for request in (*self.requests, self.request) if request is not None)

    def parser_class(self, adj: Adjustments) -> LimitedRequestParser:
        """Return an empty request."""
        return LimitedRequestParser(adj, self._uploads_full)

    def _uploads_full(self) -> bool:
        channels = self.server.active_channels.values()
        return bool(sum(channel.body_bytes for channel in channels) > self.server.room_bytes)

    def give_up(self) -> None:
        """Refuse a request that is still being received."""
        with self.requests_lock:
            if self.request is None:
                return
            self.request.give_up()
            self.requests.append(self.request)
            self.request = None
            # behind another request it gets no answer: that request's answer is the connection's last
            if len(self.requests) == 1:
                self.server.add_task(self)

    def send_continue(self) -> None:
        """Ask for the body unless the answer is known without it."""
        if self.request.completed:
            self.request.expect_continue = False
        else:
            super().send_continue()

    def service(self) -> None:
        """Answer a request, in one of waitress's threads."""
        self._refuses = self.requests[0].error is not None
        super().service()
        with self.requests_lock:
            # the start of the next request came with the one that was answered
            if self.request is not None:
                self.request.restart_clock()

    def handle_write(self) -> None:
        """Send; after a refusal, close the sending side first and linger."""
        refused = self._refuses and self.close_when_flushed and not self.total_outbufs_len and not self.will_close
        if not refused:
            super().handle_write()
            return
        self.close_when_flushed = False
        self._lingers_until_s = time.monotonic() + LINGER_S
        try:
            self.socket.shutdown(socket.SHUT_WR)
        # the client is gone
        except OSError:
            self.handle_close()

    def handle_read(self) -> None:
        """Receive; after a refusal, drop what still comes."""
        if self._lingers_until_s is None:
            super().handle_read()
            return
        try:
            # `recv` closes the channel by itself at the end of the stream
            self._lingered_bytes += len(self.recv(self.adj.recv_bytes))
            self.last_activity = time.time()
        except OSError:
            self.handle_close()
            return
        if self._lingered_bytes > LINGER_BYTES or time.monotonic() > self._lingers_until_s:
            self.will_close = True
