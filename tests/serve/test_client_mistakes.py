"""What clients do wrong in sending a photo: the answer names that, and does not blame the file."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import zlib
from urllib.parse import quote_from_bytes, urlsplit

import numpy as np
import pytest

pytest.importorskip("flask", reason="needs the extra [web]")
pytestmark = pytest.mark.slow

URLENCODED = "application/x-www-form-urlencoded"
FORMATS = ("JPEG", "PNG", "WEBP")


@pytest.fixture(scope="module")
def url(serving, graphs):
    from midas_bench.depth.config import PipelineConfig
    from midas_bench.serve.serve_config import ServeConfig

    with serving(ServeConfig(PipelineConfig("onnx", threads=1, weights="seeded", cache_dir=str(graphs)))) as server:
        yield server.url


@pytest.fixture(scope="module", params=FORMATS)
def sound(request, encode):
    noise = np.random.default_rng(4).integers(0, 255, (90, 120, 3), np.uint8)
    return encode(noise, request.param)


def problem_of(reply) -> dict:
    assert reply.headers["content-type"] == "application/problem+json"
    problem = json.loads(reply.body)
    assert problem["status"] == reply.status
    return problem


def as_old_curl_reads(data: bytes) -> bytes:
    """Read as `curl -d @file` of 2023 does: line by line, and each line as far as its first zero."""
    return b"".join(line.split(b"\0")[0].strip(b"\r\n") for line in data.splitlines(keepends=True))


SPOILT = {
    "gzip": (gzip.compress, "compressed (gzip)"),
    "zlib": (zlib.compress, "compressed (zlib)"),
    "read as UTF-8": (lambda data: data.decode(errors="replace").encode(), "as if it were text"),
    "read as Latin-1": (lambda data: data.decode("latin-1").encode(), "as if it were text"),
    "newlines doubled": (lambda data: data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), "carriage return"),
    "base64": (base64.b64encode, "as text (base64)"),
    "base64 of mails": (base64.encodebytes, "as text (base64)"),
    "base64 of URLs": (base64.urlsafe_b64encode, "as text (base64)"),
    "data URL": (lambda data: b"data:image/jpeg;base64," + base64.b64encode(data), "as text (base64)"),
    "hexadecimal": (lambda data: data.hex().encode(), "as text (hexadecimal digits)"),
    "hexadecimal words": (lambda data: data.hex(" ").upper().encode(), "as text (hexadecimal digits)"),
    "Python's repr": (lambda data: repr(data).encode(), "as text"),
    "list of numbers": (lambda data: json.dumps(list(data)).encode(), "as text (numbers)"),
}
BODIES = {
    "JSON with base64": (
        lambda data: json.dumps({"image": base64.b64encode(data).decode()}).encode(), "application/json", "(base64)",
    ),
    "JSON of Node's buffer": (
        lambda data: json.dumps({"type": "Buffer", "data": list(data)}).encode(), "application/json", "(numbers)",
    ),
    "JSON with an address": (lambda _: b'{"url": "http://x/photo.jpg"}', "application/json", "as application/json"),
    "field with base64": (lambda data: b"photo=" + base64.b64encode(data), URLENCODED, "(base64)"),
    "percent-encoded field": (lambda data: b"photo=" + quote_from_bytes(data).encode(), URLENCODED, "as text"),
    "curl -d": (lambda data: data.replace(b"\r", b"").replace(b"\n", b""), URLENCODED, "curl -d"),
    "old curl -d": (as_old_curl_reads, URLENCODED, "curl -d"),
    "curl -d with a type": (lambda data: data.translate(None, b"\r\n"), "image/jpeg", "no newline byte"),
    "curl -d without @": (lambda _: b"photo.jpg", URLENCODED, "begins 'photo.jpg'"),
    "curl -d without @, as text": (lambda _: b"./my photo.jpg", "text/plain", "begins './my photo.jpg'"),
}  # fmt: skip


@pytest.mark.parametrize("in_form", [False, True], ids=["body", "form"])
@pytest.mark.parametrize(
    ("sound", "mistake"),
    # a JPEG or WebP with doubled newlines may still be decoded, to another picture
    [(name, how) for name in FORMATS for how in SPOILT if name == "PNG" or how != "newlines doubled"],
    indirect=["sound"],
)
def test_a_photo_that_was_changed_in_sending_is_told_so(url, ask, form, sound, mistake, in_form):
    change, words = SPOILT[mistake]
    request = form(photo=change(sound)) if in_form else {"body": change(sound)}
    problem = problem_of(ask(url, "POST", "/api/depth", **request))
    assert problem["type"] == "urn:midas-bench:problem:sending"
    assert problem["status"] in (400, 415)
    assert problem["detail"].startswith("the file in the form" if in_form else "the body")
    assert words in problem["detail"]
    assert "--data-binary" in problem["next_step"]


@pytest.mark.parametrize("mistake", BODIES)
def test_a_body_that_is_no_file_is_told_so_with_the_clients_next_step(url, ask, sound, mistake):
    change, media_type, words = BODIES[mistake]
    problem = problem_of(ask(url, "POST", "/api/depth", change(sound), Content_Type=media_type))
    assert problem["type"] == "urn:midas-bench:problem:sending"
    assert words in problem["detail"]
    assert "--data-binary" in problem["next_step"]
    assert "-F photo=@" in problem["next_step"]


@pytest.mark.parametrize("media_type", [URLENCODED, "image/jpeg", "application/json", "text/plain", ""])
def test_a_photo_that_is_damaged_itself_keeps_the_files_next_step(url, ask, form, sound, media_type):
    half = sound[: len(sound) // 2]
    assert b"\n" in half
    for request in ({"body": half, "Content_Type": media_type}, form(photo=half)):
        problem = problem_of(ask(url, "POST", "/api/depth", **request))
        assert problem["type"] in ("urn:midas-bench:problem:truncated", "urn:midas-bench:problem:damaged")
        assert "curl" not in problem["next_step"]


@pytest.mark.parametrize("media_type", [URLENCODED, "application/json", "text/plain", "multipart/mixed; boundary=x"])
def test_a_sound_photo_in_a_body_of_any_declared_type_works(url, ask, sound, media_type):
    assert ask(url, "POST", "/api/depth", sound, Content_Type=media_type).status == 200


@pytest.mark.parametrize("length", ["Content-Length: 0\r\n", "", "Transfer-Encoding: chunked\r\n"])
def test_a_request_without_a_body_is_told_so(connected, length):
    end = "0\r\n\r\n" if "chunked" in length else ""
    problem = connected(f"POST /api/depth HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{length}\r\n{end}")
    assert problem["type"] == "urn:midas-bench:problem:empty"
    assert problem["detail"] == "the body of the request is empty"
    assert "--data-binary" in problem["next_step"]


def test_a_form_with_an_empty_file_is_the_files_fault(url, ask, form):
    problem = problem_of(ask(url, "POST", "/api/depth", **form(photo=b"")))
    assert problem["type"] == "urn:midas-bench:problem:empty"
    assert "replace" in problem["next_step"]


@pytest.fixture
def connected(url):
    def asked(text: str) -> dict:
        host = urlsplit(url)
        with socket.create_connection((host.hostname, host.port), timeout=60) as connection:
            connection.sendall(text.encode())
            read = b""
            while piece := connection.recv(65536):
                read += piece
        return json.loads(read.split(b"\r\n\r\n", 1)[1])

    return asked


FORMS = {
    "another field": ({"file": b"photo"}, "no field photo, but 'file'", "-F photo=@"),
    "two other fields": ({"image": b"photo", "name": "x"}, "'image', 'name'", "-F photo=@"),
    "text in the field": ({"photo": "@photo.jpg"}, "is text and no file", "with the @"),
}


@pytest.mark.parametrize("path", ["/", "/api/depth"])
@pytest.mark.parametrize("mistake", FORMS)
def test_a_form_without_the_photos_field_is_told_what_it_has(url, ask, form, mistake, path):
    fields, words, step = FORMS[mistake]
    reply = ask(url, "POST", path, **form(**fields))
    assert reply.status == 400
    text = reply.body.decode().replace("&#39;", "'").replace("&#34;", '"')
    assert words in text
    assert step in text


TYPES = {
    "no boundary": ("multipart/form-data", "no boundary"),
    "another boundary": ("multipart/form-data; boundary=other", "does not begin with its boundary"),
    "a photo's type": ("image/jpeg", "is a form that came as image/jpeg"),
    "no type": ("", "is a form that came as no type"),
    "another kind of parts": ("multipart/mixed; boundary=edge", "is a form that came as multipart/mixed"),
}


@pytest.mark.parametrize("mistake", TYPES)
def test_a_form_with_a_content_type_that_does_not_fit_is_told_so(url, ask, form, sound, mistake):
    media_type, words = TYPES[mistake]
    request = {**form(photo=sound), "Content_Type": media_type}
    problem = problem_of(ask(url, "POST", "/api/depth", **request))
    assert words in problem["detail"]
    assert "let the client set the Content-Type" in problem["next_step"]


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/api/depth"), ("PUT", "/api/depth/photo.jpg"), ("PUT", "/"), ("GET", "/api/depth")]
)
def test_a_photo_that_is_put_is_told_to_be_posted(url, ask, sound, method, path):
    problem = problem_of(ask(url, method, path, sound))
    assert problem["status"] in (404, 405)
    assert "by POST to api/depth" in problem["next_step"]
    assert "--data-binary" in problem["next_step"]


def test_a_body_for_the_api_that_comes_to_the_page_is_told_where_to_go(url, ask, sound):
    for media_type in (URLENCODED, "image/jpeg", ""):
        reply = ask(url, "POST", "/", sound, Content_Type=media_type)
        assert reply.status == 400
        assert "api/depth (curl --data-binary @photo.jpg)" in reply.body.decode()
