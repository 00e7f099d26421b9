"""The load's client against a server of known behaviour."""

import asyncio
import itertools
import re
import select
import socket
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest

from midas_bench.measure.service.client import (
    ABORTED,
    CONNECTION,
    TIMEOUT,
    Client,
    closed_loop,
    open_loop,
    post,
)

SHORT_S = 0.2
PLENTY_S = 60.0


@dataclass
class Fake:
    """Answers a body by what it says: a status to send, or what to do in place of an answer.

    Nobody is answered before so many are `waiting` at a time; each answer takes a second on its own clock.
    """

    waiting: int = 1
    now_s: float = 0.0
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    cut_off: int = 0
    inside: int = 0
    most_inside: int = 0

    async def __call__(self, reader, writer):
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                body = await reader.readexactly(int(re.search(rb"Content-Length: (\d+)", head)[1]))
                self.bodies.append(body)
                if not await self._answer(body, writer):
                    break
        except asyncio.IncompleteReadError as error:
            self.cut_off += bool(error.partial)
        finally:
            writer.close()

    async def _answer(self, body, writer):
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        if self.inside == self.waiting:
            self.enough.set()
        await (asyncio.sleep(PLENTY_S) if body == b"silence" else self.enough.wait())
        self.inside -= 1
        self.now_s += 1
        if body == b"gone":
            return False
        if body == b"half":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfew")
            return False
        if body == b"nonsense":
            writer.write(b"SSH-2.0\r\n\r\n")
            return False
        closes = body == b"last"
        status = b"200" if body in (b"last", b"leaves") else body
        writer.write(b"HTTP/1.1 %s x\r\n" % status + b"Connection: close\r\n" * closes + b"content-length: 9\r\n\r\n")
        await asyncio.sleep(0)  # head and body arrive apart
        writer.write(b"heat maps")
        return not closes and body != b"leaves"


def against(fake, scenario, timeout_s=PLENTY_S, **how):
    """Run `scenario(client)` against the server."""

    async def run():
        server = await asyncio.start_server(fake, "127.0.0.1", 0)
        client = Client("127.0.0.1", server.sockets[0].getsockname()[1], timeout_s, **how)
        try:
            return await asyncio.to_thread(scenario, client)
        finally:
            client.close()
            server.close()

    return asyncio.run(run())


def requests(*bodies):
    return [post(body.decode(), body) for body in bodies]


def one_request(client, body, **how):
    return closed_loop(client, requests(body), 1, PLENTY_S, **how)


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b"200", "200"), (b"503", "503"), (b"last", "200"), (b"gone", CONNECTION), (b"half", CONNECTION),
        (b"nonsense", CONNECTION),
    ],
)  # fmt: skip
def test_each_request_has_one_outcome(body, outcome):
    [sent] = against(Fake(), lambda client: one_request(client, body))
    assert (sent.name, sent.outcome) == (body.decode(), outcome)


def test_a_server_that_says_nothing_is_given_up():
    [sent] = against(Fake(), lambda client: one_request(client, b"silence"), timeout_s=SHORT_S)
    assert sent.outcome == TIMEOUT
    assert sent.ended_s - sent.due_s >= SHORT_S


def test_where_nobody_listens_each_request_is_counted_once():
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        client = Client(*unheard.getsockname(), PLENTY_S)
        sent = closed_loop(client, requests(b"200", b"200", b"200"), 2, PLENTY_S)
    assert [one.outcome for one in sent] == [CONNECTION] * 3


def test_a_kept_connection_that_the_server_has_closed_is_opened_again():
    fake = Fake()
    leaves, answered = requests(b"leaves", b"200")

    def scenario(client):
        sent = [client.send(leaves, 0.0)]
        select.select([client._opened[0].sock], [], [], PLENTY_S)  # until the server has hung up
        return [*sent, client.send(answered, 0.0)]

    assert [one.outcome for one in against(fake, scenario)] == ["200", "200"]
    assert fake.connections == 2


def test_a_closed_loop_of_so_many_clients_sends_every_message_once_on_so_many_connections():
    fake = Fake(waiting=4)
    bodies = [b"%d" % (400 + number % 7) for number in range(40)]
    sent = against(fake, lambda client: closed_loop(client, requests(*bodies), 4, PLENTY_S))
    assert Counter(each.outcome for each in sent) == Counter(body.decode() for body in bodies)
    assert Counter(fake.bodies) == Counter(bodies)
    assert (fake.connections, fake.most_inside) == (4, 4)
    assert all(each.ended_s > each.due_s for each in sent)


def test_a_closed_loop_ends_in_time_with_what_it_has_begun():
    fake = Fake()
    messages = itertools.cycle(requests(b"200"))
    sent = against(fake, lambda client: closed_loop(client, messages, 1, 9.5), clock=lambda: fake.now_s)
    assert [(each.due_s, each.ended_s, each.outcome) for each in sent] == [(n, n + 1, "200") for n in range(10)]
    assert len(fake.bodies) == 10


def test_an_open_loop_does_not_wait_for_answers_and_counts_from_when_a_request_was_due():
    fake = Fake(waiting=8)
    sent = against(fake, lambda client: open_loop(client, requests(*[b"200"] * 8), 50, PLENTY_S, seed=3))
    assert len(sent) == len(fake.bodies) == fake.most_inside == 8  # none was answered before all were sent
    assert min(each.ended_s for each in sent) > max(each.due_s for each in sent)


def test_an_open_loops_times_are_the_seeds_even_if_the_client_is_late():
    def due_s(seed):
        late = itertools.count(0, 0.07)  # by the clock, it takes longer over each step than there is between two
        load = against(
            Fake(),
            lambda client: open_loop(client, itertools.cycle(requests(b"200")), 200, SHORT_S, seed),
            clock=lambda: next(late),
        )
        return [each.due_s for each in load]

    assert due_s(3) == due_s(3) != due_s(4)
    assert len(due_s(3)) > 10
    assert 0 < due_s(3)[0] < due_s(3)[-1] < SHORT_S


def test_who_aborts_midway_is_no_request_and_who_sends_slowly_is_one():
    fake = Fake()
    [whole] = requests(b"200")
    messages = [
        replace(whole, parts=(b"20",), aborts=True),
        replace(whole, parts=(b"2", b"00"), pause_s=0.02),
        *requests(b"200"),
    ]
    sent = against(fake, lambda client: closed_loop(client, messages, 1, PLENTY_S))
    assert [each.outcome for each in sent] == [ABORTED, "200", "200"]
    assert (fake.bodies, fake.cut_off) == ([b"200", b"200"], 1)
