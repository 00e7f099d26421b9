"""The routes of the server."""

from __future__ import annotations

import contextlib
import errno
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import IO, Any

from flask import Flask, Request, Response, abort, jsonify, render_template, request
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.wsgi import ClosingIterator

from midas_bench.depth.config import resolve
from midas_bench.depth.pipeline import DepthPipeline
from midas_bench.errors import UserError
from midas_bench.serve import client_mistakes, device_page, page, problems
from midas_bench.serve.engine import STAGES, DepthResult, Engine
from midas_bench.serve.metrics import CONTENT_TYPE, Metrics
from midas_bench.serve.openapi import description
from midas_bench.serve.problems import Problem, RefusedError
from midas_bench.serve.representations import ANSWERS, JPEG, PNG, Representation, choose
from midas_bench.serve.serve_config import ServeConfig
from midas_bench.web.device_files import ISOLATED

MALFORMED = "midas_bench.malformed"
"""In a request's environment: why its body could not be read."""

POLICY = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; {workers}form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
ON_DEVICE = {"scripts": " 'wasm-unsafe-eval'", "workers": "worker-src 'self'; "}
"""What the policy allows in addition where the page may compute on the visitor's device."""
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    **ISOLATED,
}
FORM_PARTS = 16
FORM_START_BYTES = 1024
"""A form must begin within them: Werkzeug searches all bytes before its start, again with each piece it reads."""
DROPPED_BYTES = 64 << 20
"""Bytes of a body beyond the limit that are still read."""
PIECE_BYTES = 64 << 10
"""Bytes of a body to read at a time: for each chunk, cheroot copies what one reading has so far."""
METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE")
SAMPLES_CACHED_S = 3600


class _InMemory(Request):
    """Keeps uploads in memory, where Werkzeug would write those over 500 kB to a file."""

    max_form_parts = FORM_PARTS

    def _get_file_stream(self, *_: Any, **__: Any) -> IO[bytes]:
        return io.BytesIO()


class _Application(Flask):
    request_class = _InMemory

    def wsgi_app(self, environ: Any, start_response: Any) -> Any:
        # Flask would redirect to the path with single slashes, and leave out the prefix that a proxy has stripped.
        environ["PATH_INFO"] = re.sub("//+", "/", environ["PATH_INFO"])
        body = environ["wsgi.input"]
        try:
            whole = _receive(environ, self.config["MAX_CONTENT_LENGTH"])
        except ValueError as error:
            whole, environ[MALFORMED] = True, f"the body is malformed: {error}"
        answer = super().wsgi_app(environ, start_response)
        return answer if whole else ClosingIterator(answer, lambda: _drop(body))


def _receive(environ: Any, limit_bytes: int) -> bool:
    """Read all of a body within the limit, and tell whether that was all.

    An unread rest would be taken for the next request of its connection.

    Raises:
        OSError: it did not arrive; the HTTP server closes the connection, after a 408 if that was for want of time.
        ValueError: its length or a chunk is malformed.
    """
    declared_bytes = int(environ.get("CONTENT_LENGTH") or 0)
    if declared_bytes < 0:
        raise ValueError("its Content-Length is negative")
    if declared_bytes > limit_bytes:
        return False
    body = io.BytesIO()
    while body.tell() <= limit_bytes and (piece := environ["wsgi.input"].read(PIECE_BYTES)):
        body.write(piece)
    if body.tell() < declared_bytes:
        raise ConnectionResetError(errno.ECONNRESET, "the client hung up")
    environ["CONTENT_LENGTH"] = str(body.tell())
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    whole = body.tell() <= limit_bytes
    body.seek(0)
    environ["wsgi.input"] = body
    return whole


def _drop(body: IO[bytes]) -> None:
    """Read on behind a refusal: many clients read no answer before they have sent all."""
    with contextlib.suppress(OSError, ValueError):
        for _ in range(DROPPED_BYTES // PIECE_BYTES):
            if not body.read(PIECE_BYTES):
                break


@dataclass(frozen=True)
class Service:
    """The objects that the routes use; `application.extensions["midas_bench"]`."""

    config: ServeConfig
    engine: Engine
    metrics: Metrics


def create_app(config: ServeConfig, open_pipeline: Callable[[], DepthPipeline] | None = None) -> Flask:
    """Return the application; it answers photos with 503 until its engine's `start()` has returned.

    Args:
        config: settings of the server.
        open_pipeline: opens the engine's pipeline; by default the real one.

    Raises:
        UserError: the pipeline's weights or threads are not available.
    """
    resolved = resolve(config.pipeline)
    config = replace(config, pipeline=resolved)
    engine = Engine(config, open_pipeline)
    metrics = Metrics()
    metrics.watch(lambda: engine.queue_length, lambda: engine.in_work)
    about = page.About.of(resolved)
    policy = POLICY.format(**ON_DEVICE if config.device else dict.fromkeys(ON_DEVICE, ""))
    weights = f"{resolved.weights.source}; sha256={resolved.weights.sha256}"
    samples = {photo.file: photo for photo in config.samples}
    app = _Application("midas_bench.serve")
    app.config["MAX_CONTENT_LENGTH"] = limit_bytes = config.max_upload_bytes
    app.extensions["midas_bench"] = Service(config, engine, metrics)
    api = description(config)

    def page_response(status: int = 200, **content: Any) -> Response:
        return Response(render_template("page.html", **page.context(config, about, **content)), status)

    def compute_depth(photo: bytes, answer: Representation) -> DepthResult:
        try:
            result = engine(photo, answer)
        except RefusedError as error:
            raise RefusedError(client_mistakes.explain_sending(error.problem, photo, request)) from error
        metrics.spent(result.stage_s)
        return result

    @app.get("/")
    def show() -> Response:
        return page_response()

    @app.post("/")
    def show_result() -> Response:
        engine.check()
        _require_form_start()
        sample_name = request.form.get("sample")
        if sample_name is not None and sample_name not in samples:
            raise RefusedError(problems.unknown_sample(sample_name))
        photo, name = (samples[sample_name].data, sample_name) if sample_name else _upload()
        return page_response(result=page.result(photo, name, compute_depth(photo, PNG)))

    @app.post("/api/depth")
    def depth() -> Response:
        answer = choose(request.accept_mimetypes)
        if answer is None:
            raise RefusedError(problems.not_acceptable([representation.media_type for representation in ANSWERS]))
        engine.check()
        form = request.mimetype == client_mistakes.FORM
        if form:
            _require_form_start()
        photo = _upload()[0] if form else request.get_data(cache=False)
        result = compute_depth(photo, answer)
        response = Response(result.body, content_type=answer.media_type)
        response.headers["Server-Timing"] = server_timing(result.stage_s)
        response.headers["Midas-Backend"] = resolved.backend
        response.headers["Midas-Weights"] = weights
        response.vary.add("Accept")
        return response

    @app.get("/samples/<name>")
    def sample(name: str) -> Response:
        if name not in samples:
            raise RefusedError(problems.unknown_sample(name))
        photo = samples[name]
        small = "thumb" in request.args
        data = page.thumbnail(photo) if small else photo.data
        response = Response(data, content_type=JPEG.media_type if small else page.media_type(data))
        response.cache_control.max_age = SAMPLES_CACHED_S
        return response

    if config.device is not None:
        device_page.add_routes(app, config.device, lambda: page_response().get_data())

    @app.get("/healthz")
    def alive() -> Response:
        return jsonify(status="alive")

    @app.get("/readyz")
    def ready() -> Response:
        response = jsonify(status=engine.state)
        response.status_code = 200 if engine.ready else 503
        return response

    @app.get("/metrics")
    def metrics_text() -> Response:
        return Response(metrics.text(), content_type=CONTENT_TYPE)

    @app.get("/openapi.json")
    def api_description() -> Response:
        return jsonify(api)

    @app.before_request
    def refuse() -> None:
        if MALFORMED in request.environ:
            abort(400, request.environ[MALFORMED])
        if (request.content_length or 0) > limit_bytes:
            abort(413)
        if request.method == "POST" and request.headers.get("Sec-Fetch-Site") == "cross-site":
            raise RefusedError(problems.from_another_site())
        encoding = request.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise RefusedError(problems.compressed_body(encoding))

    @app.errorhandler(RefusedError)
    def refused(error: RefusedError) -> Response:
        return problem_response(error.problem)

    @app.errorhandler(UserError)
    def without_depth(error: UserError) -> Response:
        app.logger.error("while serving %s: %s", request.path, error)
        return problem_response(problems.of_model(error))

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> Response:
        if error.code == 413 and (request.content_length or 0) <= limit_bytes:
            return problem_response(problems.large_form(FORM_PARTS))
        problem = problems.of_http(error, limit_bytes)
        uploads = request.path == "/api/depth" or request.method == "PUT"
        if uploads and error.code in (404, 405):
            problem = replace(problem, next_step=client_mistakes.BY_POST)
        return problem_response(problem)

    @app.errorhandler(Exception)
    def broken(error: Exception) -> Response:
        app.logger.exception("while serving %s", request.path, exc_info=error)
        return problem_response(problems.of_http(InternalServerError(), limit_bytes))

    def problem_response(problem: Problem) -> Response:
        metrics.rejected(problem.reason)
        if request.path == "/" and request.method == "POST":
            response = page_response(problem.status, problem=problem)
        else:
            response = jsonify(problem.to_json())
            response.status_code = problem.status
            response.content_type = problems.MEDIA_TYPE
        response.headers.extend(problem.headers)
        return response

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers.extend(SECURITY | {"Content-Security-Policy": policy})
        if "Cache-Control" not in response.headers:
            response.cache_control.no_store = True
        rule = request.url_rule.rule if request.url_rule else "none"
        # a client may send any word as the method
        method = request.method if request.method in METHODS else "other"
        metrics.answered(rule, method, response.status_code)
        return response

    return app


def server_timing(stage_s: Mapping[str, float]) -> str:
    """Return the value of the header Server-Timing; its standard wants milliseconds."""
    return ", ".join(f"{stage};dur={stage_s[stage] * 1000:.3f}" for stage in STAGES)


def _require_form_start() -> None:
    """Refuse a multipart form without its boundary near the start, before all of it is searched."""
    boundary = request.mimetype_params.get("boundary")
    if request.mimetype != client_mistakes.FORM or not boundary:
        return
    body = request.environ["wsgi.input"]
    start = body.read(FORM_START_BYTES)
    body.seek(0)
    if not re.search(rb"--%s(?:--|[^\S\r\n]*[\r\n])" % re.escape(boundary).encode("ascii", "replace"), start):
        raise RefusedError(client_mistakes.without_form())


def _upload() -> tuple[bytes, str]:
    """Return the form's photo and its name."""
    file = request.files.get("photo")
    if file is None or (not file.filename and not file.content_length and not file.stream.read(1)):
        raise RefusedError(client_mistakes.without_photo(request))
    file.stream.seek(0)
    return file.stream.read(), file.filename or "photo"
