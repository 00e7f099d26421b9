"""Every route and every status, over real sockets; the network is a ramp."""

from __future__ import annotations

import base64
import io
import json
import re
import zlib
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("flask", reason="needs the extra [web]")
pytestmark = pytest.mark.slow

from prometheus_client.parser import text_string_to_metric_families  # noqa: E402
from werkzeug.datastructures import MIMEAccept  # noqa: E402
from werkzeug.http import parse_accept_header  # noqa: E402

from midas_bench.depth.pipeline import DepthPipeline  # noqa: E402
from midas_bench.depth.weights import Weights  # noqa: E402
from midas_bench.serve.app import create_app  # noqa: E402
from midas_bench.serve.engine import STAGES  # noqa: E402
from midas_bench.serve.representations import ANSWERS, choose  # noqa: E402
from midas_bench.serve.serve_config import ServeConfig  # noqa: E402

LIMIT_BYTES = 1_000_000


@pytest.fixture
def server(serving, configured, opened, samples):
    config = configured(max_upload_bytes=LIMIT_BYTES, max_pixels=2_000_000, samples=samples)
    with serving(config, opened) as running:
        yield running


@pytest.fixture
def url(server):
    return server.url


def counts(text: bytes) -> dict[str, Counter]:
    """Read the counters: by name, the sum for each value of the last label."""
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            if sample.name in ("midas_bench_requests_total", "midas_bench_rejected_total"):
                label = sample.labels.get("status") or sample.labels["reason"]
                found.setdefault(sample.name, Counter())[label] += int(sample.value)
    return found


def read(data: bytes):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("accept", [None, "*/*", "image/*", "image/png", "text/html, */*;q=0.1"])
def test_a_heat_map_in_the_photos_size_is_the_default(url, ask, photo, accept):
    headers = {} if accept is None else {"Accept": accept}
    reply = ask(url, "POST", "/api/depth", photo, **headers)
    assert (reply.status, reply.headers["content-type"]) == (200, "image/png")
    heatmap = read(reply.body)
    assert (heatmap.shape, heatmap.dtype) == ((427, 640, 3), np.uint8)
    assert (heatmap[0, 0] == (4, 0, 0)).all(), "black for the farthest, in OpenCV's order"
    assert (heatmap[0, -1] == (164, 255, 252)).all(), "Inferno's brightest for the nearest"


def test_accept_chooses_the_form(url, ask, photo):
    jpeg, depth, npy = (
        ask(url, "POST", "/api/depth", photo, Accept=accept)
        for accept in ("image/png;q=0.1, image/jpeg", "image/png; depth=16", "application/x-npy")
    )
    assert [reply.status for reply in (jpeg, depth, npy)] == [200, 200, 200]
    assert jpeg.headers["content-type"] == "image/jpeg"
    assert jpeg.body.startswith(b"\xff\xd8\xff")
    assert depth.headers["content-type"] == "image/png;depth=16"
    values = read(depth.body)
    assert (values.shape, values.dtype) == ((427, 640), np.uint16)
    assert (values.min(), values.max()) == (0, 65535)
    assert np.all(np.diff(values[0].astype(int)) >= 0)
    array = np.load(io.BytesIO(npy.body), allow_pickle=False)
    assert (array.shape, array.dtype) == ((256, 256), np.float32)
    assert np.array_equal(array[0], np.linspace(0, 1, 256, dtype=np.float32))
    assert all(reply.headers["vary"] == "Accept" for reply in (jpeg, depth, npy))


def test_stage_times_backend_and_weights_stand_in_the_headers(url, ask, photo):
    reply = ask(url, "POST", "/api/depth", photo)
    entries = dict(entry.split(";dur=") for entry in reply.headers["server-timing"].split(", "))
    assert tuple(entries) == STAGES
    assert all(re.fullmatch(r"\d+\.\d{3}", text) for text in entries.values())
    assert reply.headers["midas-backend"] == "onnx"
    assert re.fullmatch(r"seeded; sha256=[0-9a-f]{64}", reply.headers["midas-weights"])


def test_a_form_and_a_raw_body_of_any_declared_type_give_the_same(url, ask, form, photo):
    raw = ask(url, "POST", "/api/depth", photo, Content_Type="application/x-www-form-urlencoded")
    mislabelled = ask(url, "POST", "/api/depth", photo, Content_Type="image/webp")
    chunked = ask(url, "POST", "/api/depth", iter([photo[:1000], photo[1000:]]))
    in_a_form = ask(url, "POST", "/api/depth", **form(photo=photo))
    assert {reply.status for reply in (raw, mislabelled, chunked, in_a_form)} == {200}
    assert len({reply.body for reply in (raw, mislabelled, chunked, in_a_form)}) == 1


@pytest.fixture(scope="session")
def bad_photos(photo, encode):
    noise = np.random.default_rng(3).integers(0, 255, (64, 64, 3), np.uint8)
    png = encode(noise, "PNG")
    middle = len(png) // 2
    header = png[:16] + (20_000).to_bytes(4) * 2 + png[24:29]
    bomb = header + zlib.crc32(header[12:29]).to_bytes(4) + png[33:]
    return {
        "empty": (b"", 400),
        "truncated": (photo[: len(photo) // 2], 400),
        "damaged": (png[:middle] + bytes([png[middle] ^ 1]) + png[middle + 1 :], 400),
        "foreign": (b"GIF89a" + photo, 415),
        "huge": (bomb, 422),
    }


@pytest.mark.parametrize("kind", ["empty", "truncated", "damaged", "foreign", "huge"])
def test_a_bad_photo_is_a_problem_with_its_reason(url, ask, form, bad_photos, kind):
    data, status = bad_photos[kind]
    for request in ({"body": data}, form(photo=data)):
        reply = ask(url, "POST", "/api/depth", **request)
        assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json")
        problem = json.loads(reply.body)
        assert problem["type"] == f"urn:midas-bench:problem:{kind}"
        assert problem["status"] == status
        assert all(problem[key] for key in ("title", "detail", "next_step"))
    page = ask(url, "POST", "/", **form(photo=data))
    assert page.status == status
    assert page.headers["content-type"].startswith("text/html")
    assert problem["title"] in page.body.decode()


def test_one_pixel_and_a_photo_with_other_things_behind_it_are_photos(url, ask, photo, encode):
    pixel = ask(url, "POST", "/api/depth", encode(np.zeros((1, 1, 3), np.uint8), "PNG"))
    assert read(pixel.body).shape == (1, 1, 3)
    polyglot = ask(url, "POST", "/api/depth", photo + b"<script>alert(1)</script>PK\x05\x06" + bytes(18))
    assert polyglot.status == 200
    assert polyglot.body == ask(url, "POST", "/api/depth", photo).body


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("image/png, image/png;depth=16", "image/png"),
        ("image/png;depth=16, image/png", "image/png"),
        ("image/png;q=0.9, image/png;depth=16", "image/png;depth=16"),
        ("image/png;depth=16, */*", "image/png;depth=16"),
        ("image/jpeg, image/*", "image/jpeg"),
        ("*/*, image/png;q=0", "image/jpeg"),
        ("image/png;q=0", None),
    ],
)
def test_of_two_forms_that_a_client_likes_equally_the_plainer_one_is_sent(accept, media_type):
    chosen = choose(parse_accept_header(accept, MIMEAccept))
    assert (chosen and chosen.media_type) == media_type


def test_a_form_with_too_much_beside_the_photo_is_not_called_a_large_body(url, ask, form, photo):
    many = form(photo=photo, **{f"field{number}": "x" for number in range(20)})
    for request in (many, form(photo=photo, text="x" * 600_000)):
        reply = ask(url, "POST", "/api/depth", **request)
        problem = json.loads(reply.body)
        assert (reply.status, problem["type"]) == (413, "urn:midas-bench:problem:large-form")
        assert "limit" not in problem["detail"]
    reply = ask(url, "POST", "/api/depth", **form(photo=bytes(LIMIT_BYTES)))
    assert f"over the limit of {LIMIT_BYTES:,} bytes" in json.loads(reply.body)["detail"]


@pytest.mark.parametrize(
    "before",
    [b"x" * 5000, b"\r\n" * 5000, b"--edge " * 1000, b"--edges\r\n" * 1000, b"--edg\r\n" * 1000],
    ids=["text", "newlines", "boundaries without an end", "another boundary", "nearly a boundary"],
)
@pytest.mark.parametrize("path", ["/", "/api/depth"])
def test_a_form_that_does_not_begin_is_refused_without_reading_it_through(
    url, ask, form, photo, before, path, monkeypatch
):
    request = form(photo=photo)
    request["body"] = before + request["body"]
    monkeypatch.setattr("werkzeug.formparser.MultiPartParser.parse", None)
    reply = ask(url, "POST", path, **request)
    assert reply.status == 400
    assert b"No photo was sent" in reply.body


@pytest.mark.parametrize("before", [b"", b"\r\n", b"This is a message in several parts.\r\n"])
def test_a_form_may_have_a_few_words_before_it(url, ask, form, photo, before):
    request = form(photo=photo)
    request["body"] = before + request["body"]
    assert ask(url, "POST", "/api/depth", **request).status == 200


def test_a_form_that_is_cut_off_may_have_had_a_photo(url, ask, form, photo):
    request = form(photo=photo)
    request["body"] = request["body"].removesuffix(b"--edge--\r\n")[:-100]
    problem = json.loads(ask(url, "POST", "/api/depth", **request).body)
    assert (problem["status"], problem["type"]) == (400, "urn:midas-bench:problem:no-photo")
    assert "or it is damaged" in problem["detail"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "reason"),
    [
        ("POST", "/api/depth", {"Accept": "application/pdf"}, 406, "not-acceptable"),
        ("POST", "/api/depth", {"Content-Encoding": "gzip"}, 415, "compressed"),
        ("POST", "/api/depth", {"Sec-Fetch-Site": "cross-site"}, 403, "cross-site"),
        ("POST", "/api/depth", {"Content-Type": "multipart/form-data; boundary=x"}, 400, "no-photo"),
        ("GET", "/api/depth", {}, 405, "method-not-allowed"),
        ("DELETE", "/", {}, 405, "method-not-allowed"),
        ("GET", "/samples/none.jpg", {}, 404, "no-sample"),
        ("GET", "/samples/..%2f..%2fpyproject.toml", {}, 404, None),
        ("GET", "/nothing", {}, 404, "not-found"),
    ],
)
def test_other_refusals_are_problems_too(url, ask, photo, method, path, headers, status, reason):
    reply = ask(url, method, path, photo, **headers)
    assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json")
    problem = json.loads(reply.body)
    assert problem["status"] == status
    assert reason is None or problem["type"] == f"urn:midas-bench:problem:{reason}"
    if status == 405:
        assert "POST" in reply.headers["allow"]


def test_an_error_of_the_network_is_a_problem_and_the_next_photo_is_answered(url, ask, photo, network, caplog):
    network.fails = RuntimeError("secret")
    reply = ask(url, "POST", "/api/depth", photo)
    assert (reply.status, reply.headers["content-type"]) == (500, "application/problem+json")
    assert b"secret" not in reply.body
    assert "secret" in caplog.text
    network.fails = None
    assert ask(url, "POST", "/api/depth", photo).status == 200


@pytest.fixture
def own_model_server(serving, configured, resolved, network):
    """Run a server of a user's own model, or checkpoint."""

    @contextmanager
    def running(source, path="/secret/own model.onnx", **fields):
        own = replace(resolved, weights=Weights(source, "0" * 64, path))
        with serving(configured(pipeline=own, **fields), lambda: DepthPipeline(own, network)) as server:
            yield server.url

    return running


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("source", ["model", "file"])
def test_a_model_that_gives_no_depth_is_named_for_every_form_of_answer(
    own_model_server, network, ask, form, photo, source, number, caplog
):
    with own_model_server(source) as url:
        network.depth = number
        for answer in ANSWERS:
            reply = ask(url, "POST", "/api/depth", photo, Accept=answer.media_type)
            assert (reply.status, reply.headers["content-type"]) == (500, "application/problem+json")
            problem = json.loads(reply.body)
            assert problem["type"] == "urn:midas-bench:problem:model"
            assert problem["detail"] == "own model.onnx gives NaN or infinity in place of depth"
            assert "check how it was trained and exported" in problem["next_step"]
            assert b"secret" not in reply.body
        page = ask(url, "POST", "/", **form(photo=photo))
        assert page.status == 500
        assert b"own model.onnx gives NaN" in page.body
        assert "/secret/own model.onnx: gives NaN" in caplog.text
        assert "Traceback" not in caplog.text
        network.depth = None
        assert ask(url, "POST", "/api/depth", photo).status == 200


def test_the_projects_weights_never_answer_with_nan(url, ask, photo, network):
    network.depth = np.nan
    for answer in ANSWERS:
        assert ask(url, "POST", "/api/depth", photo, Accept=answer.media_type).status == 500


def test_a_photo_for_which_a_model_gives_no_depth_fails_alone_in_its_batch(
    own_model_server, network, ask, photo, encode, callers, until
):
    with own_model_server("model", workers=1, batch=4) as url:
        network.hold()
        held = callers.submit(ask, url, "POST", "/api/depth", photo)
        network.wait_entered()
        black = encode(np.zeros((32, 32, 3), np.uint8), "PNG")
        network.depth_of = lambda one: np.nan if one.max() <= 0 else None
        together = [callers.submit(ask, url, "POST", "/api/depth", data) for data in (photo, black, photo)]
        until(lambda: b"midas_bench_queue_length 3.0" in ask(url, "GET", "/metrics").body)
        network.gate.set()
        assert [future.result().status for future in (held, *together)] == [200, 200, 500, 200]


def test_the_form_shows_photo_and_heat_map_in_the_page(url, ask, form, photo):
    reply = ask(url, "POST", "/", **form(photo=photo))
    assert reply.status == 200
    uris = re.findall(r'src="data:(image/\w+);base64,([^"]+)"', reply.body.decode())
    assert [kind for kind, _ in uris] == ["image/jpeg", "image/png"]
    assert base64.b64decode(uris[0][1]) == photo
    assert read(base64.b64decode(uris[1][1])).shape == (427, 640, 3)
    assert "my photo-depth.png" in reply.body.decode()


def test_the_form_takes_a_sample_by_name(url, ask, form, samples):
    reply = ask(url, "POST", "/", **form(sample=samples[0].file))
    assert reply.status == 200
    assert base64.b64encode(samples[0].data).decode() in reply.body.decode()
    assert ask(url, "POST", "/", **form(sample="nobody.jpg")).status == 404
    assert ask(url, "POST", "/", **form(other="thing")).status == 400


def test_samples_are_served_whole_and_small(url, ask, samples):
    for sample in samples:
        whole = ask(url, "GET", f"/samples/{sample.file}")
        assert (whole.status, whole.headers["content-type"], whole.body) == (200, "image/jpeg", sample.data)
        small = read(ask(url, "GET", f"/samples/{sample.file}?thumb").body)
        assert max(small.shape) == 192
        assert abs(small.shape[1] / small.shape[0] - sample.width / sample.height) < 0.02


def test_the_page_names_samples_and_random_weights(url, ask, samples):
    page = ask(url, "GET", "/").body.decode()
    assert all(sample.alt in page for sample in samples)
    assert "timing only" in page


def test_every_response_forbids_what_it_does_not_need(url, ask, form, photo):
    replies = [
        *(ask(url, "GET", path) for path in ("/", "/healthz", "/nothing", "/metrics", "/openapi.json")),
        ask(url, "POST", "/api/depth", photo),
        ask(url, "POST", "/", **form(photo=b"")),
        ask(url, "POST", "/api/depth", bytes(LIMIT_BYTES + 1)),
    ]
    for reply in replies:
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"
        policy = dict(part.split(" ", 1) for part in reply.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["frame-ancestors"] == "'none'"
        assert not any("unsafe" in value for value in policy.values())
        assert reply.headers["cache-control"] == "no-store"


def test_health_readiness_and_description(url, ask):
    assert json.loads(ask(url, "GET", "/healthz").body) == {"status": "alive"}
    ready = ask(url, "GET", "/readyz")
    assert (ready.status, json.loads(ready.body)) == (200, {"status": "ready"})
    assert json.loads(ask(url, "GET", "/openapi.json").body)["openapi"].startswith("3.1")


def test_the_description_names_every_route(resolved, opened):
    app = create_app(ServeConfig(pipeline=resolved), opened)
    described = json.loads(app.test_client().get("/openapi.json").data)["paths"]
    routes = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.endpoint != "static"
    }
    assert routes == {(path, method) for path, methods in described.items() for method in methods}


def test_before_its_start_the_server_is_alive_but_not_ready(resolved, opened, photo):
    client = create_app(ServeConfig(pipeline=resolved), opened).test_client()
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503
    refused = client.post("/api/depth", data=photo)
    assert (refused.status_code, refused.json["type"]) == (503, "urn:midas-bench:problem:starting")
    assert int(refused.headers["Retry-After"]) >= 1


def test_metrics_count_what_clients_received(server, url, ask, form, photo, bad_photos, until):
    seen, reasons = Counter(), Counter()
    for data in [photo, *(data for data, _ in bad_photos.values())] * 2:
        for path, request in (("/api/depth", {"body": data}), ("/", form(photo=data))):
            reply = ask(url, "POST", path, **request)
            seen[str(reply.status)] += 1
    reasons.update(dict.fromkeys(bad_photos, 4))
    until(lambda: server.engine.in_work == 0)  # a worker lets go of a photo after it has answered
    text = ask(url, "GET", "/metrics").body
    assert counts(text) == {"midas_bench_requests_total": seen, "midas_bench_rejected_total": reasons}
    for name in ("queue_length 0.0", "in_work 0.0", 'stage_seconds_count{stage="encode"} 4.0'):
        assert f"midas_bench_{name}" in text.decode()
    assert re.search(rb"^process_resident_memory_bytes \d", text, re.MULTILINE)


def test_invented_methods_and_paths_do_not_grow_the_metrics(url, ask):
    for number in range(5):
        assert ask(url, f"METHOD{number}", f"/path{number}").status == 404
    text = ask(url, "GET", "/metrics").body.decode()
    assert 'requests_total{method="other",route="none",status="404"} 5.0' in text
    assert "METHOD" not in text
