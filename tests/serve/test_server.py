"""The server beside slow and lost clients, too large requests and a full queue, and when it stops."""

from __future__ import annotations

import http.client
import json
import select
import socket
import threading
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
import pytest

from midas_bench.errors import UserError

pytest.importorskip("flask", reason="needs the extra [web]")
pytestmark = pytest.mark.slow

from midas_bench.serve.app import DROPPED_BYTES  # noqa: E402
from midas_bench.serve.server import SPARE_THREADS, DepthServer  # noqa: E402

LIMIT_BYTES = 500_000
WAIT_S = 60.0
BUSY_HEAD = b"POST /api/depth HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
def config(configured, monkeypatch):
    monkeypatch.setattr("midas_bench.serve.server.SILENT_S", WAIT_S)  # a test that stands still does not meet it
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


def whole(connection: socket.socket) -> bytes:
    """Read until the server hangs up."""
    read = b""
    while piece := connection.recv(65536):
        read += piece
    return read


def test_a_full_queue_refuses_photos_at_once_and_the_server_stays_healthy(server, network, callers, ask, photo, until):
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


def test_a_body_without_an_end_is_refused_at_the_limit(server, connect):
    connection = connect(server)
    connection.sendall(b"POST /api/depth HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    sent_bytes = 0
    while not select.select([connection], [], [], 0)[0]:
        connection.sendall(chunk)
        sent_bytes += len(chunk)
        assert sent_bytes < LIMIT_BYTES + DROPPED_BYTES
    assert connection.recv(12) == b"HTTP/1.1 413"


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
    for whole_or_in_chunks in (lambda body: body, lambda body: iter([body])):
        assert ask(server.url, "POST", "/api/depth", whole_or_in_chunks(padded)).status == 200
        assert ask(server.url, "POST", "/api/depth", whole_or_in_chunks(padded + b"0")).status == 413


def test_a_length_beyond_the_limit_is_refused_unread(server, ask):
    reply = ask(server.url, "POST", "/api/depth", b"", Content_Length=str(LIMIT_BYTES + 1))
    assert (reply.status, reply.headers["content-type"]) == (413, "application/problem+json")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"what?\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + bytes(40_000) + b"\r\n\r\n", 413),
        (b"POST /api/depth HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (b"POST /api/depth HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    ],
)
def test_bytes_that_are_not_http_are_refused(server, connect, request_bytes, status):
    connection = connect(server)
    connection.sendall(request_bytes)
    assert whole(connection).split()[1] == b"%d" % status


@pytest.mark.parametrize("body", [b"Content-Length: -1\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"])
def test_a_body_whose_length_is_malformed_is_answered_with_a_problem(server, connect, body):
    connection = connect(server)
    connection.sendall(b"POST /api/depth HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + body)
    head, problem = whole(connection).split(b"\r\n\r\n", 1)
    assert (head.split()[1], json.loads(problem)["status"]) == (b"400", 400)
    assert "the body is malformed" in json.loads(problem)["detail"]


def test_after_a_refusal_the_connection_takes_the_next_request(server, photo):
    host = urlsplit(server.url)
    connection = http.client.HTTPConnection(host.hostname, host.port, timeout=WAIT_S)
    for path, body in (("/nothing", photo), ("/api/depth", iter([b"no", b" photo"])), ("/api/depth", photo)):
        connection.request("POST", path, body)
        kept = connection.sock
        answer = connection.getresponse()
        answer.read()
        assert connection.sock is kept, "not opened again"
    assert answer.status == 200
    connection.close()


def test_clients_that_hang_dawdle_or_leave_disturb_nobody(server, connect, ask, network, photo, until):
    wanted = ask(server.url, "POST", "/api/depth", photo).body
    head = f"POST /api/depth HTTP/1.1\r\nHost: x\r\nContent-Length: {len(photo)}\r\n\r\n".encode()
    for _ in range(SPARE_THREADS // 4):
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


def test_a_request_that_does_not_go_on_is_given_up_and_told_so(serving, config, opened, connect, monkeypatch):
    monkeypatch.setattr("midas_bench.serve.server.SILENT_S", 0.2)
    with serving(config, opened) as server:
        for sent in (b"POST /api/de", BUSY_HEAD + b"Content-Length: 9\r\n\r\nbody"):
            stalled = connect(server)
            stalled.sendall(sent)
            assert whole(stalled).startswith(b"HTTP/1.1 408")


def test_clients_that_do_not_read_their_answers_are_given_up(
    serving, config, opened, network, encode, connect, ask, monkeypatch
):
    monkeypatch.setattr("midas_bench.serve.server.SILENT_S", 0.5)
    network.noise = True  # heat maps that no encoder makes small
    large = encode(np.zeros((2600, 2600, 3), np.uint8), "JPEG")
    with serving(config, opened) as server:
        head = BUSY_HEAD + b"Content-Length: %d\r\n\r\n" % len(large)
        lazy = [connect(server) for _ in range(config.queue_size + 1 + SPARE_THREADS)]  # as many as threads
        for one in lazy:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.sendall(head + large)
        assert ask(server.url, "GET", "/healthz").status == 200


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


@pytest.mark.parametrize(
    ("sent", "answer"), [(b"POST /api/de", b"HTTP/1.1 400"), (BUSY_HEAD + b"Content-Length: 9\r\n\r\nbody", b"")]
)
def test_a_stopping_server_does_not_wait_for_a_request_that_stalls(
    serving, config, opened, connect, ask, monkeypatch, sent, answer
):
    monkeypatch.setattr("midas_bench.serve.server.UPLOADS_S", 0.05)
    with serving(config, opened) as server:
        stalled = connect(server)
        stalled.sendall(sent)
        # connections are accepted one after the other
        assert ask(server.url, "GET", "/healthz").status == 200
        server.stop()
        assert whole(stalled)[:12] == answer


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


def test_while_the_server_stops_a_request_that_is_being_sent_is_still_taken_and_readiness_is_denied(
    serving, config, opened, connect, ask, photo, until
):
    with serving(config, opened) as server:
        sending, asking = connect(server), connect(server)
        sending.sendall(BUSY_HEAD + b"Content-Length: %d\r\n\r\n" % len(photo) + photo[:1000])
        asking.sendall(b"GET /read")
        # connections are accepted one after the other
        assert ask(server.url, "GET", "/healthz").status == 200
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
