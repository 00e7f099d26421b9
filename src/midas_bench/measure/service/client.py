"""A load client that takes little CPU: prepared requests, kept connections, one event loop, raw HTTP/1.1.

It knows nothing of photos; its own process is `load_process.py`.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

HEAD_BYTES = 4 << 20
"""Bytes of an answer that asyncio buffers before it stops the sender: most heat maps fit whole."""
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)

CONNECTION = "connection"
TIMEOUT = "timeout"
ABORTED = "hung up"
"""The value is in saved files."""
RECONNECT_DELAY_S = 0.05
"""A closed loop waits this long after a failed connection: it must not spin on a server that is gone."""


@dataclass(frozen=True)
class Message:
    """A request, as bytes.

    Attributes:
        name: what it holds, for counting.
        parts: sent one after the other.
        pause_s: between them.
        aborts: whether the client then closes the connection, without an answer.
    """

    name: str
    parts: tuple[bytes, ...]
    pause_s: float = 0.0
    aborts: bool = False


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


def post(name: str, body: bytes, host: str, accept: str = "image/png", content_type: str = "image/jpeg") -> Message:
    """Return the request that sends a photo."""
    head = (
        f"POST /api/depth HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return Message(name, (head.encode() + body,))


class Client:
    """Sends requests on as many connections as are wanted at a time, and keeps those that are free."""

    def __init__(self, host: str, port: int, timeout_s: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._host = host
        self._port = port
        self._timeout_s = timeout_s
        self._clock = clock
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._start_s = clock()

    def begin(self) -> None:
        """Start the load's clock."""
        self._start_s = self._clock()

    def now_s(self) -> float:
        """Return the seconds since the load began."""
        return self._clock() - self._start_s

    async def send(self, message: Message, due_s: float) -> RequestResult:
        """Send one request and wait for its answer; each request has exactly one outcome."""
        try:
            async with asyncio.timeout(self._timeout_s):
                outcome = await self._exchange(message)
        except TimeoutError:
            outcome = TIMEOUT
        # refused, cut off, or no HTTP
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            outcome = CONNECTION
        return RequestResult(message.name, due_s, self.now_s(), outcome)

    async def close(self) -> None:
        """Hang up."""
        for _, writer in self._idle:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in self._idle), return_exceptions=True)
        self._idle.clear()

    async def _exchange(self, message: Message) -> str:
        reader, writer = await self._connection()
        kept = False
        try:
            for number, part in enumerate(message.parts):
                if number:
                    await asyncio.sleep(message.pause_s)
                writer.write(part)
                await writer.drain()
            if message.aborts:
                return ABORTED
            head = await reader.readuntil(b"\r\n\r\n")
            length = LENGTH.search(head)
            if not head.startswith(b"HTTP/1.1 ") or length is None:
                raise ValueError(head)
            await reader.readexactly(int(length[1]))
            kept = CLOSES.search(head) is None
            return str(int(head[9:12]))
        finally:
            if kept:
                self._idle.append((reader, writer))
            else:
                writer.close()

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            # the server closed the idle connection
            writer.close()
        return await asyncio.open_connection(self._host, self._port, limit=HEAD_BYTES)


async def closed_loop(client: Client, messages: Iterable[Message], clients: int, until_s: float) -> list[RequestResult]:
    """Let each client send the next message once it has the last answer, until `until_s` or the last message."""
    remaining = iter(messages)
    sent: list[RequestResult] = []
    client.begin()

    async def send_in_turn() -> None:
        while (due_s := client.now_s()) < until_s and (message := next(remaining, None)) is not None:
            sent.append(await client.send(message, due_s))
            if sent[-1].outcome == CONNECTION:
                await asyncio.sleep(RECONNECT_DELAY_S)

    await asyncio.gather(*(send_in_turn() for _ in range(clients)))
    return sent


async def open_loop(
    client: Client, messages: Iterable[Message], per_second: float, until_s: float, seed: int
) -> list[RequestResult]:
    """Send at the times of a Poisson process, whether or not the ones before were answered."""
    draw = random.Random(seed)
    client.begin()
    due_s = 0.0
    under_way: list[asyncio.Task[RequestResult]] = []
    for message in messages:
        due_s += draw.expovariate(per_second)
        if due_s >= until_s:
            break
        await asyncio.sleep(max(0.0, due_s - client.now_s()))
        under_way.append(asyncio.create_task(client.send(message, due_s)))
    return list(await asyncio.gather(*under_way))
