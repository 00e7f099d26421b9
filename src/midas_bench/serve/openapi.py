"""The description of the API, OpenAPI 3.1."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from midas_bench.serve.problems import MEDIA_TYPE
from midas_bench.serve.representations import ANSWERS
from midas_bench.serve.serve_config import ServeConfig

BINARY: dict[str, Any] = {}
"""OpenAPI 3.1's schema of bytes: none."""

PHOTO_PROBLEMS = {
    400: "The photo is missing, empty, cut off or damaged, or the request is malformed.",
    403: "A page of another site sent it.",
    413: "The body is over the limit.",
    415: "Not a JPEG, PNG or WebP, or compressed.",
    422: "Too many pixels; the header is checked before decoding.",
    500: "The network failed, or its model gives no depth for this photo.",
    503: "The queue is full, the photo was not finished within the deadline, or the server starts or stops; see "
    "`Retry-After`.",
}
STALLED = {"408": {"description": "It did not arrive.", "content": {"text/plain": {"schema": {"type": "string"}}}}}


def description(config: ServeConfig) -> dict[str, Any]:
    """Return the document served at /openapi.json."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "midas-bench serve",
            "version": version("midas-bench"),
            "description": "Photos to depth heat maps by MiDaS_small. No upload is stored or logged.",
        },
        "servers": [{"url": "."}],
        "paths": {
            "/": {"get": _get("The page.", "text/html"), "post": _form(config)},
            "/api/depth": {"post": _depth(config)},
            "/samples/{name}": {"get": _sample(config)},
            "/healthz": {"get": _get("The process answers.", "application/json")},
            "/readyz": {"get": _ready()},
            "/metrics": {"get": _get("Counters in Prometheus's text format.", "text/plain")},
            "/openapi.json": {"get": _get("This document.", "application/json")},
        },
        "components": {"schemas": {"Problem": PROBLEM}},
    }


PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail", "next_step"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "next_step": {"type": "string"},
    },
}


def _depth(config: ServeConfig) -> dict[str, Any]:
    formats = {media_type: {"schema": BINARY} for media_type in ("image/jpeg", "image/png", "image/webp")}
    answers = "; ".join(f"`{answer.media_type}`: {answer.description}" for answer in ANSWERS)
    timing = {
        "description": "Milliseconds of the stages queue, decode, preprocess, inference, heatmap and encode.",
        "schema": {"type": "string"},
    }
    text = {"schema": {"type": "string"}}
    problems = PHOTO_PROBLEMS | {406: "No representation has a type that the Accept header takes."}
    return {
        "operationId": "depth",
        "summary": "One photo to its depth.",
        "description": f"The Accept header chooses the representation. {answers} The body may hold "
        f"{config.max_upload_bytes:,} bytes, the photo {config.max_pixels:,} pixels.",
        "requestBody": {
            "required": True,
            "content": formats | {"application/octet-stream": {"schema": BINARY}, "multipart/form-data": PHOTO_FORM},
        },
        "responses": {
            "200": {
                "description": "The depth, in the form chosen.",
                "headers": {"Server-Timing": timing, "Midas-Backend": text, "Midas-Weights": text},
                "content": {answer.media_type: {"schema": BINARY} for answer in ANSWERS},
            },
            **{str(status): _problem(meaning) for status, meaning in problems.items()},
            **STALLED,
        },
    }


PHOTO_FORM = {
    "schema": {
        "type": "object",
        "required": ["photo"],
        "properties": {"photo": {"type": "string", "contentMediaType": "application/octet-stream"}},
    }
}


def _form(config: ServeConfig) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "photo": {"type": "string", "contentMediaType": "application/octet-stream"},
        "sample": {"type": "string", "enum": [photo.file for photo in config.samples] or [""]},
    }
    page = {"text/html": {"schema": {"type": "string"}}}
    problems = PHOTO_PROBLEMS | {404: "There is no such sample."}
    return {
        "operationId": "form",
        "summary": "The page's form, for browsers without JavaScript.",
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": {"type": "object", "properties": properties}}},
        },
        "responses": {
            "200": {"description": "The page with the heat map.", "content": page},
            **{str(status): {"description": meaning, "content": page} for status, meaning in problems.items()},
            **STALLED,
        },
    }


def _sample(config: ServeConfig) -> dict[str, Any]:
    of_photos = {f"image/{kind}": {"schema": BINARY} for kind in ("jpeg", "png", "webp")}
    name: dict[str, Any] = {"type": "string"}
    if config.samples:
        name["examples"] = [photo.file for photo in config.samples]
    return {
        "operationId": "sample",
        "summary": "A sample photo, or with `thumb` a small JPEG of it.",
        "parameters": [
            {"name": "name", "in": "path", "required": True, "schema": name},
            {"name": "thumb", "in": "query", "required": False, "schema": {"type": "string"}},
        ],
        "responses": {
            "200": {"description": "The photo.", "content": of_photos},
            "400": _problem("The request is malformed."),
            "404": _problem("There is no such sample."),
        },
    }


def _ready() -> dict[str, Any]:
    state = {"application/json": {"schema": STATE}}
    return {
        "summary": "Whether the model is loaded and warm, and the server is not stopping.",
        "responses": {
            "200": {"description": "Send photos.", "content": state},
            "400": _problem("The request is malformed."),
            "503": {"description": "Starting or stopping.", "content": state},
        },
    }


STATE = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}


def _get(summary: str, media_type: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"} if media_type == "application/json" else {"type": "string"}
    return {
        "summary": summary,
        "responses": {
            "200": {"description": summary, "content": {media_type: {"schema": schema}}},
            "400": _problem("The request is malformed."),
        },
    }


def _problem(meaning: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": meaning, "content": {MEDIA_TYPE: {"schema": schema}}}
