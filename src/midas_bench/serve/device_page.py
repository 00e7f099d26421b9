"""What the page needs to compute on the visitor's own device: choices to show, files to hand out, a service worker."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Response, abort, request, send_file

from midas_bench.web.assets import LICENCES, VERSION
from midas_bench.web.device_files import SCRIPTS, SETTINGS, DeviceFile, DeviceFiles

STATIC = Path(__file__).with_name("static")
FOLDER = "device/"
"""Below the page: where scripts, runtime and graphs are."""
LICENCES_ADDRESS = f"{FOLDER}{VERSION}/{LICENCES}"
SERVICE_WORKER = "service-worker.js"
"""Beside the page: a service worker is responsible for the addresses of its own folder."""
YEAR_S = 365 * 24 * 3600
QUALITY = {"fp32": "exact", "int8": "smaller, less exact"}


def choices(files: DeviceFiles) -> list[dict[str, Any]]:
    """Return the template's values for each way to compute: name, provider, quality, and megabytes to load once."""
    settings = files.settings
    models = {model["name"]: model["bytes"] for model in settings["models"]}
    runtimes = {
        provider: sum(file["bytes"] for file in runtime) + settings["decoder"]["bytes"]
        for provider, runtime in settings["runtime"]["files"].items()
    }
    # WebGPU has no kernels for int8
    offered = [(name, "wasm") for name in models] + [("fp32", "webgpu")]
    return [
        {"name": name, "provider": provider, "quality": QUALITY[name], "mb": (models[name] + runtimes[provider]) / 1e6}
        for name, provider in offered
        if provider in runtimes
    ]


def add_routes(app: Flask, files: DeviceFiles, page: Callable[[], bytes]) -> None:
    """Let an application hand out the files and the service worker.

    Args:
        app: the application.
        files: that visitors' browsers compute with.
        page: gives the page as it is for those who have sent nothing yet; called within a request.
    """

    @app.get(f"/{FOLDER}<path:name>")
    def device_file(name: str) -> Response:
        file = files.find(name)
        if file is None:
            abort(404)
        try:
            return _response(file)
        except OSError as error:
            app.logger.error("while serving %s: %s", request.path, error)
            abort(404, "the server has this file no more")

    @app.get(f"/{SERVICE_WORKER}")
    def service_worker_script() -> Response:
        response = Response(service_worker(page(), files), content_type="text/javascript")
        response.cache_control.no_cache = True
        return response


def _response(file: DeviceFile) -> Response:
    """Return a file; browsers keep it for ever, or ask each time whether it has changed."""
    if isinstance(file.content, Path):
        response = send_file(file.content, file.media_type)
    else:
        response = Response(file.content, content_type=file.media_type)
        response.add_etag()
        response.make_conditional(request)
    if file.immutable:
        response.cache_control.no_cache = None
        response.cache_control.public = response.cache_control.immutable = True
        response.cache_control.max_age = YEAR_S
    else:
        response.cache_control.no_cache = True
    return response


def service_worker(page: bytes, files: DeviceFiles) -> bytes:
    """Return the script that keeps the page for visits without a network.

    Its first line lists what it keeps, and names that by a hash: browsers take a script with other bytes for a new one.

    Args:
        page: as it is served to those who have sent nothing yet.
        files: that the page computes with.
    """
    contents: dict[str, bytes] = {"./": page}
    contents |= {f"static/{path.name}": path.read_bytes() for path in STATIC.iterdir() if path.name != SERVICE_WORKER}
    for name in (SETTINGS, *SCRIPTS):
        if (file := files.find(name)) is not None:
            content = file.content
            contents[FOLDER + name] = content if isinstance(content, bytes) else content.read_bytes()
    kept = {"version": _digest(contents), "files": sorted(contents), "folder": FOLDER}
    return f"const KEPT = {json.dumps(kept)};\n".encode() + (STATIC / SERVICE_WORKER).read_bytes()


def _digest(contents: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(contents.items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]
