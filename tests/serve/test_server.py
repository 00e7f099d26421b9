"""The server beside slow and lost clients, too large requests and a full queue, and when it stops."""

from __future__ import annotations

import itertools
import json
import select
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest

from midas_bench.errors import UserError

pytest.importorskip("flask", reason="needs the extra [web]")
pytestmark = pytest.mark.slow

from midas_bench.serve.serve_config import MIB  # noqa: E402
from midas_bench.serve.server import SPARE_THREADS, DepthServer  # noqa: E402

LIMIT_BYTES = 500_000
WAIT_S = 60.0
EVER_S = 3600.0


@pytest.fixture
def config(configured, monkeypatch):
    for limit in ("channel.LINGER_S", "server.SILENT_S"):  # a test that stands still for seconds does not meet them
        monkeypatch.setattr(f"midas_bench.serve.{limit}", EVER_S)
    return configured(workers=1, queue_size=2, max_upload_bytes=LIMIT_BYTES)


@pytest.fixture
def server(serving, config, opened):
    with serving(config, opened) as running:
        yield running


@pytest.fixture
def connect():
    opened = []

    def connected(server):
        host = urlsplit(server.url)
        made = socket.create_connection((host.hostname, host.port), timeout=WAIT_S)
        opened.append(made)
        return made

    yield connected
    for one in opened:
        one.close()


def channels(server: DepthServer) -> tuple:
    """Give the connections as they are now: the server's own thread changes them."""
    return tuple(server._http.active_channels.values())


def whole(connection: socket.socket) -> bytes:
    """Read until the server hangs up."""
    read = b""
    while piece := connection.recv(65536):
        read += piece
    return read


@pytest.fixture
def roomy(serving, config, opened):
    """Run a server that has memory for more uploads than it has places."""
    with serving(replace(config, max_upload_bytes=20 * MIB), opened) as running:
        yield running


def test_a_full_queue_refuses_photos_at_once_and_the_server_stays_healthy(roomy, network, callers, ask, photo, until):
    server = roomy
    network.hold()
    accepted = [callers.submit(ask, server.url, "POST", "/api/depth", photo)]
    network.wait_entered()
    accepted += [callers.submit(ask, server.url, "POST", "/api/depth", photo) for _ in range(2)]
    until(lambda: server.engine.queue_length == 2)
    refused = [callers.submit(ask, server.url, "POST", "/api/depth", photo) for _ in range(50)]
    for reply in (future.result() for future in refused):
        assert reply.status == 503
        assert json.loads(reply.body)["type"] == "urn:midas-bench:problem:queue-full"
        assert int(reply.headers["retry-after"]) >= 1
    for path in ("/healthz", "/readyz", "/", "/metrics"):
        assert ask(server.url, "GET", path).status == 200
    assert not any(future.done() for future in accepted)
    network.gate.set()
    assert [future.result().status for future in accepted] == [200, 200, 200]


def test_a_body_over_the_limit_is_refused_unread(server, connect):
    connection = connect(server)
    connection.sendall(
        f"POST /api/depth HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT_BYTES + 1}\r\n"
        "Expect: 100-continue\r\n\r\n".encode()
    )
    answer = whole(connection)
    assert answer.startswith(b"HTTP/1.1 413"), "and not 100 Continue"
    assert b"application/problem+json" in answer
    assert f"{LIMIT_BYTES:,}".encode() in answer


def test_a_body_without_an_end_is_refused_at_the_limit(server, connect):
    connection = connect(server)
    connection.sendall(b"POST /api/depth HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    sent_bytes = 0
    while not select.select([connection], [], [], 0)[0]:
        connection.sendall(chunk)
        sent_bytes += len(chunk)
        assert sent_bytes < LIMIT_BYTES + (32 << 20), "what socket buffers hold, and no more"
    assert connection.recv(12) == b"HTTP/1.1 413"


@pytest.mark.parametrize(
    ("start", "endless"),
    [
        (b"", b"1\r\nx\r\n"),
        (b"", b"10;name=value\r\n0123456789abcdef\r\n"),
        (b"1;name=", b"value"),
        (b"0", b"0"),
        (b"", b"\r\n"),
        (b"0\r\n", b"Name: value\r\n"),
        (b"0\r\nName: ", b"value"),
    ],
    ids=["chunks of a byte", "extensions", "one extension", "one length", "empty lines", "trailers", "one trailer"],
)
def test_a_body_with_more_around_its_chunks_than_in_them_is_refused_long_before_the_limit(
    roomy, connect, start, endless
):
    connection = connect(roomy)
    connection.sendall(b"POST /api/depth HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + start)
    piece = endless * (60_000 // len(endless))
    while not select.select([connection], [], [], 0)[0]:
        connection.sendall(piece)
    assert connection.recv(12) == b"HTTP/1.1 400"


@pytest.mark.parametrize("chunk_bytes", [1, 64, 1000, 100_000])
def test_chunks_of_any_size_bring_a_photo(server, ask, encode, photo, chunk_bytes):
    small = encode(np.zeros((32, 32, 3), np.uint8), "PNG")
    body = small if chunk_bytes == 1 else photo
    chunks = (body[start : start + chunk_bytes] for start in range(0, len(body), chunk_bytes))
    assert ask(server.url, "POST", "/api/depth", chunks).status == 200


def test_a_client_that_sends_all_of_a_too_large_body_still_reads_the_answer(server, ask, form):
    for request in ({"body": bytes(10 * LIMIT_BYTES)}, form(photo=bytes(10 * LIMIT_BYTES))):
        assert ask(server.url, "POST", "/api/depth", **request).status == 413
    page = ask(server.url, "POST", "/", **form(photo=bytes(10 * LIMIT_BYTES)))
    assert page.status == 413
    assert page.headers["content-type"].startswith("text/html")


def test_a_body_of_exactly_the_limit_is_read(server, ask, photo):
    padded = photo + bytes(LIMIT_BYTES - len(photo))
    assert ask(server.url, "POST", "/api/depth", padded).status == 200
    assert ask(server.url, "POST", "/api/depth", padded + b"0").status == 413


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"what?\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + bytes(40_000) + b"\r\n\r\n", 431),
        (b"POST /api/depth HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /api/depth HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"POST /api/depth HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST /api/depth HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    ],
)
def test_bytes_that_are_not_http_are_answered_with_a_problem(server, connect, request_bytes, status):
    connection = connect(server)
    connection.sendall(request_bytes)
    head, body = whole(connection).split(b"\r\n\r\n", 1)
    assert head.split()[1] == str(status).encode()
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == status


def test_clients_that_hang_dawdle_or_leave_disturb_nobody(server, connect, ask, network, photo, until):
    wanted = ask(server.url, "POST", "/api/depth", photo).body
    head = f"POST /api/depth HTTP/1.1\r\nHost: x\r\nContent-Length: {len(photo)}\r\n\r\n".encode()
    for _ in range(20):
        connect(server)  # never says a word
        connect(server).sendall(b"POST /api/de")
        connect(server).sendall(head + photo[:5000])
    slow = connect(server)
    slow.sendall(head)
    for start in range(0, len(photo), 4096):
        slow.sendall(photo[start : start + 4096])
        if start < 5 * 4096:
            assert ask(server.url, "POST", "/api/depth", photo).body == wanted
    assert slow.recv(12) == b"HTTP/1.1 200"
    network.hold()
    leaver = connect(server)
    leaver.sendall(head + photo)
    network.wait_entered()
    leaver.close()  # with its photo in work
    midway = connect(server)
    midway.sendall(head + photo[:100])
    midway.close()
    network.gate.set()
    assert ask(server.url, "POST", "/api/depth", photo).body == wanted
    until(lambda: server.engine.in_work == 0)


def test_a_request_that_takes_too_long_to_arrive_is_given_up_and_told_so(server, connect, monkeypatch):
    monkeypatch.setattr("midas_bench.serve.request_limits.RECEIVE_S", 0.05)
    dribbling = connect(server)
    while not select.select([dribbling], [], [], 0.02)[0]:
        dribbling.sendall(b"X: y\r\n")  # never an empty line, so never a whole request
    assert json.loads(whole(dribbling).split(b"\r\n\r\n", 1)[1])["status"] == 408


def test_a_large_body_may_take_as_long_as_the_least_rate_allows(server, connect, monkeypatch, photo):
    monkeypatch.setattr("midas_bench.serve.request_limits.RECEIVE_S", 0)
    monkeypatch.setattr("midas_bench.serve.request_limits.LEAST_BYTES_PER_S", 1)
    sending = connect(server)
    head = f"POST /api/depth HTTP/1.1\r\nHost: x\r\nContent-Length: {len(photo)}\r\n\r\n".encode()
    for start in range(0, len(photo), 20_000):
        sending.sendall((b"" if start else head) + photo[start : start + 20_000])
        time.sleep(0.01)
    assert sending.recv(12) == b"HTTP/1.1 200"


def test_a_request_that_came_with_another_has_its_time_from_when_that_one_is_answered(
    server, connect, network, photo, until
):
    network.hold()
    both = connect(server)
    head = f"POST /api/depth HTTP/1.1\r\nHost: x\r\nContent-Length: {len(photo)}\r\n\r\n".encode()
    both.sendall(head + photo + b"GET /healthz HTTP/1.1\r\n")
    network.wait_entered()
    [channel] = channels(server)
    until(lambda: channel.request is not None)
    channel.request._since_s -= EVER_S  # so long did the first one wait
    network.gate.set()
    assert both.recv(12) == b"HTTP/1.1 200"
    both.sendall(b"Host: x\r\nConnection: close\r\n\r\n")
    assert whole(both).endswith(b'{"status":"alive"}\n')


def test_uploads_beyond_what_memory_they_may_take_are_refused_until_there_is_room(server, connect, ask, photo, until):
    room_bytes = 3 * LIMIT_BYTES  # for two that wait and one in work
    large = bytes(LIMIT_BYTES - 10_000)
    head = f"POST /api/depth HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT_BYTES}\r\n\r\n".encode()

    def arrived_bytes():
        return sum(channel.body_bytes for channel in channels(server))

    stalled = [connect(server) for _ in range(3)]
    for number, one in enumerate(stalled, start=1):
        one.sendall(head + large)
        until(lambda number=number: arrived_bytes() == number * len(large))
    assert ask(server.url, "GET", "/healthz").status == 200
    refused = ask(server.url, "POST", "/api/depth", bytes(LIMIT_BYTES))
    assert (refused.status, json.loads(refused.body)["type"]) == (503, "urn:midas-bench:problem:uploads")
    assert int(refused.headers["retry-after"]) >= 1
    until(lambda: arrived_bytes() == 3 * len(large) <= room_bytes)
    stalled.pop().close()
    until(lambda: arrived_bytes() == 2 * len(large))
    assert ask(server.url, "POST", "/api/depth", photo).status == 200


def test_silent_connections_make_room_for_those_that_speak(
    serving, config, opened, network, connect, ask, photo, callers, monkeypatch
):
    monkeypatch.setattr("midas_bench.serve.server.CONNECTIONS", 20)
    unfinished = b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n"
    with serving(config, opened) as server:
        network.hold()
        worked_on = callers.submit(ask, server.url, "POST", "/api/depth", photo)
        network.wait_entered()
        silent = [connect(server) for _ in range(60)]
        for one, what in zip(silent, itertools.cycle((b"", b"GET /he", unfinished))):
            with suppress(ConnectionError):  # it may have had to go already
                one.sendall(what)
        assert ask(server.url, "GET", "/healthz").status == 200
        network.gate.set()
        assert worked_on.result().status == 200
        for one in silent:
            one.close()


def test_after_a_refusal_what_is_left_of_its_body_does_not_keep_a_stopping_server(
    serving, config, opened, connect, until
):
    with serving(config, opened) as server:
        connection = connect(server)
        head = f"POST /api/depth HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT_BYTES + 1}\r\n\r\n".encode()
        connection.sendall(head + b"the beginning of a body")
        assert connection.recv(12) == b"HTTP/1.1 413"
        [channel] = channels(server)
        until(lambda: channel.idle)


def test_clients_that_do_not_fetch_their_answers_hold_no_thread(
    serving, config, opened, network, encode, connect, ask, until
):
    network.noise = True  # heat maps that no encoder makes small
    large = encode(np.zeros((1500, 2000, 3), np.uint8), "JPEG")
    with serving(config, opened) as server:
        head = f"POST /api/depth HTTP/1.1\r\nHost: x\r\nContent-Length: {len(large)}\r\n\r\n".encode()
        lazy = [connect(server) for _ in range(config.queue_size + 1 + SPARE_THREADS + 1)]  # one more than threads
        for made, one in enumerate(lazy, start=1):
            one.sendall(head + large)
            until(lambda made=made: sum(channel.total_outbufs_len > 0 for channel in channels(server)) == made)
        assert ask(server.url, "POST", "/api/depth", large).status == 200
        for one in lazy:
            one.close()


@pytest.mark.parametrize("asks", [1, 3], ids=["one answer", "several answers, for which a thread waits"])
def test_a_client_that_does_not_read_its_answers_is_given_up(
    serving, config, opened, network, encode, connect, until, monkeypatch, asks
):
    network.noise = True  # heat maps that no encoder makes small
    large = encode(np.zeros((2600, 2600, 3), np.uint8), "JPEG")
    with serving(replace(config, max_upload_bytes=20 * MIB), opened) as server:
        lazy = connect(server)
        head = f"POST /api/depth HTTP/1.1\r\nHost: x\r\nContent-Length: {len(large)}\r\n\r\n".encode()
        lazy.sendall((head + large) * asks)
        until(lambda: any(channel.total_outbufs_len > 0 for channel in channels(server)))
        assert channels(server), "until it is silent for too long"
        monkeypatch.setattr("midas_bench.serve.server.SILENT_S", 0.2)
        server._next_look_s = 0.0
        until(lambda: not channels(server))
        dispatcher = server._http.task_dispatcher
        until(lambda: dispatcher.active_count == 0)


def test_time_that_a_request_waits_for_a_thread_counts_against_its_deadline(server, ask, photo, monkeypatch):
    late = SimpleNamespace(monotonic=time.monotonic, perf_counter=lambda: time.perf_counter() - EVER_S)
    monkeypatch.setattr("midas_bench.serve.request_limits.time", late)
    reply = ask(server.url, "POST", "/api/depth", photo)
    assert (reply.status, json.loads(reply.body)["type"]) == (503, "urn:midas-bench:problem:deadline")


def test_stopping_beside_a_stuck_photo_answers_everyone_and_comes_to_its_end(
    config, opened, network, callers, ask, photo, until
):
    server = DepthServer(replace(config, deadline_s=0.5, queue_size=16), "127.0.0.1", 0, opened)
    running = callers.submit(server.run)
    until(lambda: server.engine.ready)
    network.hold()
    visitors = [callers.submit(ask, server.url, "POST", "/api/depth", photo) for _ in range(8)]
    network.wait_entered()
    # all have come: one is in the network, and nobody listens once it stops
    until(lambda: server.engine.queue_length == 7)
    server.stop()
    for reply in [future.result(WAIT_S) for future in visitors]:
        assert (reply.status, json.loads(reply.body)["type"]) == (503, "urn:midas-bench:problem:deadline")
        assert int(reply.headers["retry-after"]) >= 1
    assert running.result(WAIT_S) is False, "the network is still at work"
    network.gate.set()
    assert server.engine.close()


@pytest.mark.parametrize("sent", [b"POST /api/de", None], ids=["part of its head", "part of its body"])
def test_while_the_server_stops_a_request_that_does_not_come_to_its_end_is_told_so(
    serving, config, opened, connect, until, monkeypatch, sent
):
    monkeypatch.setattr("midas_bench.serve.server.UPLOADS_S", 0.05)
    with serving(replace(config, deadline_s=0.1), opened) as server:
        stalled = connect(server)
        stalled.sendall(sent or b"POST /api/depth HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nbody")
        until(lambda: any(channel.request is not None for channel in channels(server)))
        server.stop()
        head, body = whole(stalled).split(b"\r\n\r\n", 1)
        assert json.loads(body)["type"] == "urn:midas-bench:problem:draining"
        assert b"Retry-After: " in head


def test_server_stops_though_clients_connect_without_an_end(serving, config, opened, connect, until, monkeypatch):
    monkeypatch.setattr("midas_bench.serve.server.BACKLOG", 5)
    with serving(config, opened) as server:
        accept, connections = server._http.handle_accept, []
        monkeypatch.setattr(server._http, "handle_accept", lambda: (connections.append(connect(server)), accept()))
        server.stop()
        until(lambda: server.engine.state == "closed")
    assert len(connections) < 50, "the system's limit of open files would be an end too"


def test_a_stopping_server_answers_every_client_and_frees_its_model(
    serving, config, opened, network, callers, ask, photo, until
):
    with serving(config, opened) as server:
        network.hold()
        accepted = [callers.submit(ask, server.url, "POST", "/api/depth", photo)]
        network.wait_entered()
        accepted += [callers.submit(ask, server.url, "POST", "/api/depth", photo) for _ in range(2)]
        until(lambda: server.engine.queue_length == 2)
        server.stop()
        until(lambda: server.engine.state == "draining")
        network.gate.set()
        replies = [future.result() for future in accepted]
    assert [reply.status for reply in replies] == [200, 200, 200]
    assert all(reply.headers["connection"] == "close" for reply in replies)
    assert network.closed
    with pytest.raises(ConnectionRefusedError):
        ask(server.url, "GET", "/healthz")


def test_stop_works_while_the_server_ends_by_itself(config, opened, monkeypatch):
    monkeypatch.setattr("midas_bench.serve.server.CHECK_S", 0.01)
    loaded = threading.Event()
    server = DepthServer(config, "127.0.0.1", 0, opened)
    running = threading.Thread(target=server.run, args=(loaded.set,), daemon=True)
    running.start()
    assert loaded.wait(WAIT_S)
    pull = server._http.pull_trigger
    monkeypatch.setattr(server._http, "pull_trigger", lambda: (running.join(0.5), pull()))
    server.stop()
    running.join(WAIT_S)
    assert not running.is_alive()


def test_while_the_server_stops_a_request_that_is_being_sent_is_still_taken_and_readiness_is_denied(
    serving, config, opened, connect, photo, until
):
    with serving(config, opened) as server:
        sending, asking = connect(server), connect(server)
        head = f"POST /api/depth HTTP/1.1\r\nHost: x\r\nContent-Length: {len(photo)}\r\n\r\n".encode()
        sending.sendall(head + photo[:1000])
        asking.sendall(b"GET /read")
        until(lambda: sum(channel.request is not None for channel in channels(server)) == 2)
        server.stop()
        until(lambda: server.engine.state == "draining")
        asking.sendall(b"yz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"503" in whole(asking).split(b"\r\n")[0]
        sending.sendall(photo[1000:])
        assert whole(sending).startswith(b"HTTP/1.1 200")


def test_server_is_healthy_but_not_ready_while_its_model_loads(serving, config, opened, ask, photo, until):
    loading = threading.Event()

    def slowly():
        assert loading.wait(WAIT_S)
        return opened()

    with serving(config, slowly, ready=False) as server:
        assert ask(server.url, "GET", "/healthz").status == 200
        assert ask(server.url, "GET", "/readyz").status == 503
        assert ask(server.url, "POST", "/api/depth", photo).status == 503
        loading.set()
        until(lambda: ask(server.url, "GET", "/readyz").status == 200)
        assert ask(server.url, "POST", "/api/depth", photo).status == 200


def test_server_ends_when_its_model_cannot_be_loaded(config):
    def broken():
        raise UserError("the cache", "cannot be written", "free some space")

    with pytest.raises(UserError, match="free some space"):
        DepthServer(config, "127.0.0.1", 0, broken).run()


def test_a_taken_port_is_the_users_to_change(server, config, opened):
    with pytest.raises(UserError, match=r"is taken; choose another --port"):
        DepthServer(config, "127.0.0.1", urlsplit(server.url).port, opened)


@pytest.mark.parametrize("host", ["caf\N{LATIN SMALL LETTER E WITH ACUTE}..", "a" * 300, "no.such.host.invalid"])
def test_a_host_that_cannot_be_is_the_users_to_change(config, opened, host):
    with pytest.raises(UserError, match=r"cannot be listened on .*; check --host and --port"):
        DepthServer(config, host, 0, opened)


def test_a_port_that_another_process_listens_on_first_is_taken(config, opened, monkeypatch):
    bind = socket.socket.bind
    with socket.socket() as rival:
        rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        rival.bind(("127.0.0.1", 0))
        monkeypatch.setattr(socket.socket, "bind", lambda *line: (bind(*line), rival.listen()))
        with pytest.raises(UserError, match="is taken"):
            DepthServer(config, "127.0.0.1", rival.getsockname()[1], opened)


def test_server_goes_on_when_nobody_reads_that_it_is_ready(config, opened, ask, until):
    def unread():
        raise BrokenPipeError

    server = DepthServer(config, "127.0.0.1", 0, opened)
    running = threading.Thread(target=server.run, args=(unread,), daemon=True)
    running.start()
    until(lambda: server.engine.ready)
    assert ask(server.url, "GET", "/readyz").status == 200
    server.stop()
    running.join(WAIT_S)
    assert server._failure is None


def test_server_listens_on_this_machine_alone(server):
    assert urlsplit(server.url).hostname == "127.0.0.1"
    assert server._http.socket.getsockname()[0] == "127.0.0.1"
