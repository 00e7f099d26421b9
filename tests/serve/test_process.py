"""The real thing: `midas-bench serve` in a process of its own, ONNX Runtime, seeded weights."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
import resource
import signal
import struct
import subprocess
import sys
import threading
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import numpy as np
import pytest

pytest.importorskip("flask", reason="needs the extra [web]")
pytestmark = pytest.mark.slow

from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

from midas_bench.depth.artifacts import artifact  # noqa: E402
from midas_bench.depth.pipeline import DepthPipeline  # noqa: E402
from midas_bench.depth.weights import seeded  # noqa: E402
from midas_bench.serve.representations import NPY, PNG  # noqa: E402

WAIT_S = 60
COMMAND = [sys.executable, "-m", "midas_bench.cli.main", "serve", "--port", "0", "--weights", "seeded"]


@contextmanager
def command(project, graphs, *arguments, line=COMMAND):
    """Run the command on a free port until it is ready; give its process and URL."""
    line = [*line, *arguments]
    environment = {**os.environ, "MIDAS_BENCH_CACHE": str(graphs)}
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=project, env=environment
    ) as process:
        watchdog = threading.Timer(WAIT_S, process.kill)
        watchdog.start()
        try:
            ready = next(filter(None, (re.match(r"(http://\S+) is ready", said) for said in process.stdout)))
            watchdog.cancel()
            yield process, ready[1]
        finally:
            watchdog.cancel()
            process.kill()


@pytest.fixture(scope="module")
def running(project, graphs):
    with command(project, graphs) as started:
        yield started


def test_server_computes_what_the_pipeline_computes(running, graphs, ask, photo):
    with DepthPipeline.open("onnx", threads=1, weights="seeded", cache_dir=str(graphs)) as pipeline:
        prediction = pipeline.run([photo], palette=True)
    npy = ask(running[1], "POST", "/api/depth", photo, Accept=NPY.media_type)
    assert npy.body == NPY.encode(prediction.depth[0])
    assert ask(running[1], "POST", "/api/depth", photo).body == PNG.encode(prediction.heatmaps[0])


def test_server_writes_neither_uploads_nor_answers_to_disk(project, graphs, form, encode):
    noise = np.random.default_rng(5).integers(0, 255, (2000, 2200, 3), np.uint8)
    large = encode(noise, "PNG")
    assert len(large) > 10 << 20
    with command(project, graphs) as (process, url):
        no_file_may_grow = (0, 0)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, no_file_may_grow)
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=WAIT_S)
        chunks = (large[start : start + 100_000] for start in range(0, len(large), 100_000))
        headers = {"Content-Type": form()["Content_Type"]}
        answers_bytes = []
        for path, body, head in (
            ("/api/depth", large, {}),
            ("/api/depth", chunks, {}),
            ("/api/depth", form(photo=large)["body"], headers),
            ("/", form(photo=large)["body"], headers),
        ):  # one connection, kept over all of them
            connection.request("POST", path, body, head)
            reply = connection.getresponse()
            assert reply.status == 200
            answers_bytes.append(len(reply.read()))
        connection.close()
        assert max(answers_bytes) > 10 << 20
        process.terminate()
        out, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, out, err) == (0, "", "")


def test_under_load_sigterm_loses_no_request_and_the_exit_code_is_0(project, graphs, ask, photo):
    outcomes: Counter[str] = Counter()
    enough, connecting = threading.Event(), threading.Lock()
    stopping = False

    def client() -> None:
        while True:
            host = urlsplit(url)
            connection = http.client.HTTPConnection(host.hostname, host.port, timeout=WAIT_S)
            try:
                with connecting:
                    if stopping:
                        return
                    connection.connect()
                connection.request("POST", "/api/depth", photo)
                reply = connection.getresponse()
                length = int(reply.headers["Content-Length"])
                outcomes[f"{reply.status}"] += 1
                outcomes["cut off"] += len(reply.read()) != length
            except ConnectionError as error:
                outcomes[type(error).__name__] += 1
            finally:
                connection.close()
            if outcomes["200"] >= 10 and outcomes["503"]:
                enough.set()

    with command(project, graphs, "--queue", "4") as (process, url), ThreadPoolExecutor(12) as pool:
        clients = [pool.submit(client) for _ in range(12)]
        assert enough.wait(WAIT_S)
        with connecting:
            stopping = True
        # connections are accepted one after the other, so those of the clients are
        assert ask(url, "GET", "/healthz").status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
        for future in clients:
            future.result()
        assert process.stderr.read() == ""
    assert outcomes["200"] >= 10
    assert {kind for kind, times in outcomes.items() if times} == {"200", "503"}


STUCK = """
import sys, time
from midas_bench.cli.main import main
from midas_bench.depth import recipe
from midas_bench.serve import engine

def stuck(call, place):
    def called(*given, **named):
        photo = given[place]
        if getattr(photo, "source", photo).endswith(b"stuck"):
            time.sleep(3600)
        return call(*given, **named)
    return called

def check(data, whole=engine.check, **named):
    checked = whole(data, **named)
    object.__setattr__(checked, "source", data)  # what stands behind the picture is not passed on
    return checked

engine.check = stuck(check, 0) if sys.argv[1] == "check" else check
# before the photo stands what the network takes
recipe._decode = stuck(recipe._decode, 1)
sys.exit(main(["serve", "--port", "0", "--weights", "seeded", *sys.argv[2:]]))
"""


def visit(ask, url, photo, visits, stop):
    """Send a photo again and again until the port is closed; collect status and whether the answer is whole."""
    while not stop.is_set():
        try:
            reply = ask(url, "POST", "/api/depth", photo)
        except ConnectionRefusedError:
            assert stop.is_set()
            return
        except ConnectionError as error:
            # who connects in the instant in which the port is closed is reset
            visits.append(type(error).__name__ if not stop.is_set() else None)
            return
        whole = len(reply.body) == int(reply.headers["content-length"]) > 0
        visits.append(reply.status if whole else "cut off")


@contextmanager
def visitors(pool, ask, process, url, photo):
    """Send photos from eight clients while the block runs; then stop the server, and check every answer."""
    stop, visits = threading.Event(), []
    clients = [pool.submit(visit, ask, url, photo, visits, stop) for _ in range(8)]
    try:
        yield
    finally:
        stop.set()
    process.terminate()
    assert process.wait(WAIT_S) == 0
    for client in clients:
        client.result(WAIT_S)
    assert process.stderr.read() == ""
    assert visits
    assert set(visits) - {None} <= {200, 503}


@pytest.mark.parametrize("where", ["check", "decode"])
def test_beside_photos_that_stay_in_a_decoder_everyone_is_answered_and_sigterm_ends_it(
    project, graphs, ask, photo, where
):
    """Sixteen photos that never end are twice what workers and queue hold."""
    script = [sys.executable, "-c", STUCK, where]
    with (
        command(project, graphs, "--workers", "2", "--queue", "6", "--deadline", "1", line=script) as (process, url),
        ThreadPoolExecutor(24) as pool,
    ):
        stuck = [pool.submit(ask, url, "POST", "/api/depth", photo + b"stuck") for _ in range(16)]
        with visitors(pool, ask, process, url, photo):
            replies = [future.result(WAIT_S) for future in stuck]
    reasons = Counter(json.loads(reply.body)["type"].rpartition(":")[2] for reply in replies)
    assert {reply.status for reply in replies} == {503}
    assert set(reasons) <= {"deadline", "queue-full", "draining"}
    assert reasons["deadline"] >= 2


def scans(count: int) -> bytes:
    """Make a progressive JPEG of 63 megapixels that is small and takes long to decode: its scans add nothing."""

    def segment(marker: int, body: bytes) -> bytes:
        return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body

    width, height, run_blocks = 8192, 7680, 1 << 14
    blocks = width * height // 64
    one_code = bytes([1] + [0] * 15)
    size = struct.pack(">BHHB", 8, height, width, 1)
    head = segment(0xDB, b"\0" + bytes([1] * 64)) + segment(0xC2, size + b"\1\x11\0")
    head += segment(0xC4, b"\0" + one_code + b"\0") + segment(0xC4, b"\x10" + one_code + b"\xe0")
    grey = segment(0xDA, b"\1\1\0\0\0\0") + bytes(blocks // 8)
    # a run of 16,384 blocks without a coefficient is a code of one bit, and 14 bits of its length; ones fill the byte
    runs_bits = 15 * blocks // run_blocks
    nothing = segment(0xDA, b"\1\1\0\1\x3f\0") + bytes(runs_bits // 8) + bytes([0xFF >> runs_bits % 8])
    return b"\xff\xd8" + head + grey + nothing * (count - 1) + b"\xff\xd9"


def slow_uploads(encode) -> dict[str, bytes]:
    """Make bodies that cost far more than their bytes, of some megabytes or of many pixels."""
    jpeg, png, webp = (encode(np.zeros((16, 16, 3), np.uint8), name) for name in ("JPEG", "PNG", "WEBP"))
    chunk = b"\0\0\0\0teSt" + zlib.crc32(b"teSt").to_bytes(4)
    return {
        "fill bytes": jpeg[:2] + b"\xff" * (3 << 20) + jpeg[2:],
        "empty comments": jpeg[:2] + b"\xff\xfe\0\2" * (3 << 18) + jpeg[2:],
        "empty chunks": png[:33] + chunk * (3 << 16) + png[33:],
        "nothing behind the end": webp + bytes(3 << 20),
        "many scans": scans(90),
    }


def test_beside_slow_uploads_everyone_is_answered_and_sigterm_ends_it(project, graphs, ask, form, photo, encode):
    arguments = ("--workers", "2", "--queue", "8", "--deadline", "0.3", "--max-upload", "4")
    with command(project, graphs, *arguments) as (process, url), ThreadPoolExecutor(32) as pool:
        uploads = slow_uploads(encode)
        alone = ask(url, "POST", "/api/depth", uploads["many scans"])
        assert (alone.status, json.loads(alone.body)["type"]) == (503, "urn:midas-bench:problem:deadline")
        requests = [{"body": body} for body in uploads.values()] + [form(photo=body) for body in uploads.values()]
        requests.append({"body": (b"x" for _ in range(100_000))})  # in chunks of a byte
        with visitors(pool, ask, process, url, photo):
            slow = [pool.submit(ask, url, "POST", "/api/depth", **request) for request in requests]
            replies = [future.result(WAIT_S) for future in slow[:-1]]
            with suppress(ConnectionError):  # the server hung up while it was still sending
                replies.append(slow[-1].result(WAIT_S))
    # 422 for too many parts, or 503 where the deadline comes first
    assert {reply.status for reply in replies} <= {200, 400, 415, 422, 503}
    assert all(json.loads(reply.body)["next_step"] for reply in replies if reply.status != 200)


def test_good_and_bad_requests_from_many_clients_get_one_answer_each_and_the_counters_agree(
    project, graphs, ask, photo, encode
):
    header = encode(np.zeros((8, 8, 3), np.uint8), "PNG")
    kinds = {
        "good": (photo, {200, 503}),
        "one pixel": (encode(np.zeros((1, 1, 3), np.uint8), "PNG"), {200, 503}),
        "truncated": (photo[:9000], {400, 503}),  # with a full queue nobody looks at it
        "empty": (b"", {400, 503}),
        "text": (b"not a photo", {415, 503}),
        "too large": (b"", {413}),
        "mislabelled": (header, {200, 503}),
    }
    seen: Counter[int] = Counter()
    with command(project, graphs, "--max-upload", "2", "--queue", "3") as (process, url):

        def one(kind: str) -> int:
            data, expected = kinds[kind]
            declared = {"Content_Length": str(3 << 20)} if kind == "too large" else {}  # refused before it is sent
            reply = ask(url, "POST", "/api/depth", data, Content_Type="image/jpeg", **declared)
            assert reply.status in expected, kind
            return reply.status

        with ThreadPoolExecutor(8) as pool:
            seen.update(pool.map(one, itertools.islice(itertools.cycle(kinds), 280)))
        text = ask(url, "GET", "/metrics").body.decode()
        process.terminate()
        assert process.wait(WAIT_S) == 0
    counted: Counter[int] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "midas_bench_requests_total":
                counted[int(sample.labels["status"])] += int(sample.value)
    assert counted == seen
    assert sum(seen.values()) == 280


SIGNALLED = """
import os, signal, sys, time
import onnxruntime
from midas_bench.cli.main import main
from midas_bench.serve.engine import Engine
from midas_bench.serve.server import DepthServer

def load(engine):
    first = signal.getsignal(signals[0])
    for each in signals:
        os.kill(os.getpid(), each)
        while signal.getsignal(each) is first:  # not heard yet
            time.sleep(0.001)
    while True:  # so that Python's end finds this thread inside C++
        onnxruntime.InferenceSession(graph)

graph, signals = sys.argv[1], [signal.Signals[name] for name in sys.argv[2:]]
Engine.start = load
def drain(server):
    while len(signals) > 1:  # so that the second one finds it stopping; in short sleeps, for any thread may get it
        time.sleep(0.01)

DepthServer._drain = drain
sys.exit(main(["serve", "--port", "0", "--weights", "seeded"]))
"""


@pytest.mark.parametrize(
    ("signals", "code", "said"),
    [(["SIGTERM"], 0, ""), (["SIGINT"], 0, ""), (["SIGINT", "SIGINT"], 130, "midas-bench: interrupted\n")],
)
def test_a_signal_while_the_model_loads_and_a_second_one_end_it_in_order(project, graphs, signals, code, said):
    graph = artifact("onnx", seeded(), graphs).path
    line = [sys.executable, "-c", SIGNALLED, str(graph), *signals]
    environment = {**os.environ, "MIDAS_BENCH_CACHE": str(graphs)}
    ran = subprocess.run(line, capture_output=True, text=True, cwd=project, env=environment, timeout=WAIT_S)
    assert (ran.returncode, ran.stderr) == (code, said)


def test_serve_reports_a_taken_port_in_one_line_with_code_2(running, project, graphs):
    port = str(urlsplit(running[1]).port)
    line = [sys.executable, "-m", "midas_bench.cli.main", "serve", "--weights", "seeded", "--port", port]
    environment = {**os.environ, "MIDAS_BENCH_CACHE": str(graphs)}
    ran = subprocess.run(line, capture_output=True, text=True, cwd=project, env=environment, timeout=WAIT_S)
    assert ran.returncode == 2
    assert re.fullmatch(rf"midas-bench: 127\.0\.0\.1:{port}: is taken; choose another .*\n", ran.stderr)
