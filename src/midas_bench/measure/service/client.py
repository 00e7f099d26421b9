"""A load client that takes little CPU: prepared requests on kept connections of the standard library, in threads.

It knows nothing of photos; its own process is `load_process.py`.
"""

from __future__ import annotations

import random
import select
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

MOST_UNDER_WAY = 1000
"""Requests of an open loop that may be under way at a time; each has a thread and a connection."""

CONNECTION = "connection"
TIMEOUT = "timeout"
ABORTED = "hung up"
"""The value is in saved files."""
RECONNECT_DELAY_S = 0.05
"""A closed loop waits this long after a failed connection: it must not spin on a server that is gone."""


@dataclass(frozen=True)
class Message:
    """A request.

    Attributes:
        name: what it holds, for counting.
        headers: of the request.
        parts: of the body, sent one after the other.
        pause_s: between them.
        aborts: whether the client then closes the connection, without an answer.
    """

    name: str
    headers: Mapping[str, str]
    parts: tuple[bytes, ...]
    pause_s: float = 0.0
    aborts: bool = False

    def body(self) -> Iterator[bytes]:
        """Yield the parts, at their times."""
        for number, part in enumerate(self.parts):
            if number:
                time.sleep(self.pause_s)
            yield part


@dataclass(frozen=True)
class RequestResult:
    """The result of a request; times are seconds since the load began.

    Attributes:
        name: of its message.
        due_s: when it was to be sent: latency counts from here, even if the client itself was late.
        ended_s: when the last byte of its answer arrived, or when it failed.
        outcome: the status as text, or `CONNECTION`, `TIMEOUT` or `ABORTED`.
    """

    name: str
    due_s: float
    ended_s: float
    outcome: str


def post(name: str, body: bytes, accept: str = "image/png", content_type: str = "image/jpeg") -> Message:
    """Return the request that sends a photo."""
    headers = {"Accept": accept, "Content-Type": content_type, "Content-Length": str(len(body))}
    return Message(name, headers, (body,))


class Client:
    """Sends requests from any number of threads, and keeps a connection for each."""

    def __init__(self, host: str, port: int, timeout_s: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._host = host
        self._port = port
        self._timeout_s = timeout_s
        self._clock = clock
        self._of_thread = threading.local()
        self._opened: list[HTTPConnection] = []
        self._start_s = clock()

    def begin(self) -> None:
        """Start the load's clock."""
        self._start_s = self._clock()

    def now_s(self) -> float:
        """Return the seconds since the load began."""
        return self._clock() - self._start_s

    def send(self, message: Message, due_s: float) -> RequestResult:
        """Send one request and wait for its answer; each request has exactly one outcome."""
        begun_s = time.monotonic()
        try:
            outcome = self._exchange(message)
            # the sockets' own limit is that of each wait
            if time.monotonic() - begun_s > self._timeout_s:
                outcome = TIMEOUT
        except TimeoutError:
            outcome = TIMEOUT
        # refused, cut off, or no HTTP
        except (OSError, HTTPException, ValueError):
            outcome = CONNECTION
        return RequestResult(message.name, due_s, self.now_s(), outcome)

    def close(self) -> None:
        """Hang up."""
        for connection in self._opened:
            connection.close()

    def _exchange(self, message: Message) -> str:
        connection = self._connection()
        kept = False
        try:
            connection.request("POST", "/api/depth", message.body(), message.headers)
            if message.aborts:
                return ABORTED
            answer = connection.getresponse()
            answer.read()
            kept = True
            return str(answer.status)
        finally:
            if not kept:
                connection.close()

    def _connection(self) -> HTTPConnection:
        """Return the thread's own connection; where it is closed, the next request opens it."""
        if not hasattr(self._of_thread, "connection"):
            self._of_thread.connection = HTTPConnection(self._host, self._port, timeout=self._timeout_s)
            self._opened.append(self._of_thread.connection)
        connection: HTTPConnection = self._of_thread.connection
        # the server closed the idle connection
        if connection.sock and select.select([connection.sock], [], [], 0)[0]:
            connection.close()
        return connection


def closed_loop(client: Client, messages: Iterable[Message], clients: int, until_s: float) -> list[RequestResult]:
    """Let each client send the next message once it has the last answer, until `until_s` or the last message."""
    remaining = iter(messages)
    drawing = threading.Lock()
    sent: list[RequestResult] = []
    client.begin()

    def draw() -> Message | None:
        with drawing:
            return next(remaining, None)

    def send_in_turn() -> None:
        while (due_s := client.now_s()) < until_s and (message := draw()) is not None:
            result = client.send(message, due_s)
            sent.append(result)
            if result.outcome == CONNECTION:
                time.sleep(RECONNECT_DELAY_S)

    with ThreadPoolExecutor(clients) as pool:
        for future in [pool.submit(send_in_turn) for _ in range(clients)]:
            future.result()
    return sent


def open_loop(
    client: Client, messages: Iterable[Message], per_second: float, until_s: float, seed: int
) -> list[RequestResult]:
    """Send at the times of a Poisson process, whether or not the ones before were answered."""
    draw = random.Random(seed)
    client.begin()
    due_s = 0.0
    under_way: list[Future[RequestResult]] = []
    with ThreadPoolExecutor(MOST_UNDER_WAY) as pool:
        for message in messages:
            due_s += draw.expovariate(per_second)
            if due_s >= until_s:
                break
            time.sleep(max(0.0, due_s - client.now_s()))
            under_way.append(pool.submit(client.send, message, due_s))
        return [future.result() for future in under_way]
