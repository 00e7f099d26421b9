"""The server of the page that measures, asked as a browser asks it."""

import http.client
import json
import threading
from urllib.parse import urlsplit

import pytest

from midas_bench.depth.interface import MIDAS
from midas_bench.measure.browser.page_server import PAGE_FILES, PageFailedError, PageServer
from midas_bench.processes import ProcessDiedError
from midas_bench.web.device_files import DeviceFiles

PHOTO = b"an encoded photo"


@pytest.fixture
def server(tmp_path):
    graph = tmp_path / "graph.onnx"
    graph.write_bytes(b"a graph")
    with PageServer(DeviceFiles({"fp32": graph}, MIDAS, tmp_path, 1), PHOTO) as server:
        yield server


def request(server, method, path, body=None):
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=10)
    connection.request(method, path, body)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer, data


@pytest.fixture
def page(server):
    """Answer the next question as a page does, in a thread: `page({"type": "kernel"})`; gives the question."""
    threads, questions = [], []

    def answers(answer):
        def run():
            _, question = request(server, "GET", "/next")
            questions.append(json.loads(question))
            request(server, "POST", "/answer", json.dumps(answer))

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return questions

    yield answers
    for thread in threads:
        thread.join(10)


def test_everything_it_hands_out_isolates_the_page(server):
    graph = server._files.settings["models"][0]["file"]
    for path in (*PAGE_FILES, "photo", "device/settings.json", "device/depth-worker.js", f"device/{graph}", "nowhere"):
        answer, body = request(server, "GET", f"/{path}")
        assert answer.status == (404 if path == "nowhere" else 200)
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert bool(body) == (path != "nowhere")
    assert request(server, "GET", "/photo")[1] == PHOTO
    assert "immutable" in request(server, "GET", f"/device/{graph}")[0].headers["Cache-Control"]
    assert "immutable" not in request(server, "GET", "/device/settings.json")[0].headers["Cache-Control"]


@pytest.mark.parametrize(
    "path", ["/device/../graph.onnx", "/bench.html/..", "/../page_server.py", "/device/graph.onnx"]
)
def test_nothing_else_is_handed_out(server, path):
    assert request(server, "GET", path)[0].status == 404


def test_a_question_reaches_the_page_and_its_answer_comes_back(server, page):
    questions = page({"type": "kernel", "least_ms": 1.5})
    assert server.ask({"do": "kernel"}, 10) == {"type": "kernel", "least_ms": 1.5}
    assert questions == [{"do": "kernel"}]


def test_what_the_page_cannot_do_is_said_in_one_line(server, page):
    page({"type": "failed", "title": "The model cannot be opened", "detail": "No memory.", "next_step": ""})
    with pytest.raises(PageFailedError, match=r"^the page cannot load: The model cannot be opened: No memory.$"):
        server.ask({"do": "load"}, 10)


def test_a_page_that_says_nothing_is_given_up(server):
    with pytest.raises(ProcessDiedError, match="the page: no answer to kernel within 0 s"):
        server.ask({"do": "kernel"}, 0.3)


def test_a_browser_that_ended_is_not_waited_for(server):
    def ended():
        raise ProcessDiedError("the browser ended: exit code 1")

    with pytest.raises(ProcessDiedError, match="the browser ended"):
        server.ask({"do": "kernel"}, 60, ended)
