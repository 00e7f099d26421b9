"""The real thing: `midas-bench serve` in a process of its own, ONNX Runtime, seeded weights."""

from __future__ import annotations

import http.client
import itertools
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np
import pytest

pytest.importorskip("flask", reason="needs the extra [web]")
pytestmark = pytest.mark.slow

from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

from midas_bench.depth.artifacts import artifact  # noqa: E402
from midas_bench.depth.pipeline import DepthPipeline  # noqa: E402
from midas_bench.depth.weights import seeded  # noqa: E402
from midas_bench.serve.answers import NPY, PNG  # noqa: E402

WAIT_S = 60


@contextmanager
def command(project, graphs, *arguments):
    """Run the command on a free port until it is ready; give its process and URL."""
    line = [sys.executable, "-m", "midas_bench.cli.main", "serve", "--port", "0", "--weights", "seeded", *arguments]
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


def test_it_computes_what_the_pipeline_computes(running, graphs, ask, photo):
    with DepthPipeline.open("onnx", threads=1, weights="seeded", cache_dir=str(graphs)) as pipeline:
        prediction = pipeline.run([photo])
    npy = ask(running[1], "POST", "/api/depth", photo, Accept=NPY.media_type)
    assert npy.body == NPY.encode(prediction.depth[0])
    assert ask(running[1], "POST", "/api/depth", photo).body == PNG.encode(prediction.heatmaps[0])


def test_nothing_reaches_the_disk(project, graphs, form, encode):
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
        ):  # one connection: waitress gives up one whose answer could not be buffered
            connection.request("POST", path, body, head)
            reply = connection.getresponse()
            assert reply.status == 200
            answers_bytes.append(len(reply.read()))
        connection.close()
        assert max(answers_bytes) > 10 << 20
        process.terminate()
        out, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, out, err) == (0, "", "")


def test_under_load_sigterm_loses_no_request_and_the_exit_code_is_0(project, graphs, photo):
    outcomes: Counter[str] = Counter()
    enough, stopping = threading.Event(), threading.Event()

    def client() -> None:
        while True:
            host = urlsplit(url)
            connection = http.client.HTTPConnection(host.hostname, host.port, timeout=WAIT_S)
            try:
                connection.connect()
            except ConnectionError:
                assert stopping.is_set()
                return  # the port is closed: this one was never accepted
            late = stopping.is_set()
            try:
                connection.request("POST", "/api/depth", photo)
                reply = connection.getresponse()
                length = int(reply.headers["Content-Length"])
                outcomes[f"{reply.status}"] += 1
                outcomes["cut off"] += len(reply.read()) != length
            except ConnectionError as error:
                if late:
                    return  # it came in the instant before the port was closed, when nobody looked any more
                outcomes[type(error).__name__] += 1
            finally:
                connection.close()
            if outcomes["200"] >= 10 and outcomes["503"]:
                enough.set()

    with command(project, graphs, "--queue", "4") as (process, url), ThreadPoolExecutor(12) as pool:
        clients = [pool.submit(client) for _ in range(12)]
        assert enough.wait(WAIT_S)
        stopping.set()
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
        for future in clients:
            future.result()
        assert process.stderr.read() == ""
    assert outcomes["200"] >= 10
    assert {kind for kind, times in outcomes.items() if times} == {"200", "503"}


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
from midas_bench.serve.server import Server

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

Server._drain = drain
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


def test_a_taken_port_is_one_line_and_code_2(running, project, graphs):
    port = str(urlsplit(running[1]).port)
    line = [sys.executable, "-m", "midas_bench.cli.main", "serve", "--weights", "seeded", "--port", port]
    environment = {**os.environ, "MIDAS_BENCH_CACHE": str(graphs)}
    ran = subprocess.run(line, capture_output=True, text=True, cwd=project, env=environment, timeout=WAIT_S)
    assert ran.returncode == 2
    assert re.fullmatch(rf"midas-bench: 127\.0\.0\.1:{port}: is taken; choose another .*\n", ran.stderr)
