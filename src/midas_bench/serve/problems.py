"""The problems that the server answers with: RFC 9457 problem details, with the next step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from werkzeug.exceptions import HTTPException

from midas_bench.depth.photo import FORMATS, PhotoError
from midas_bench.errors import UserError

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Problem:
    """Why a request gets no heat map.

    Attributes:
        status: of the HTTP response.
        reason: one word for it, in the problem's type and in the metrics.
        title: the same for every problem of that reason.
        detail: of this request.
        next_step: the cure.
        headers: of the response, beside the usual ones.
    """

    status: int
    reason: str
    title: str
    detail: str
    next_step: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the members of RFC 9457, and `next_step`."""
        return {
            "type": f"urn:midas-bench:problem:{self.reason}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "next_step": self.next_step,
        }


class RefusedError(Exception):
    """Carries a problem from where it arises to where it is answered."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.detail)


PHOTOS = {
    "empty": (400, "The photo is empty"),
    "truncated": (400, "The photo is cut off"),
    "damaged": (400, "The photo is damaged"),
    "foreign": (415, "Not a photo in a known format"),
    "unsupported": (415, "The photo's format is not supported"),
    "huge": (422, "The photo has too many pixels"),
    "excessive": (422, "The photo has too many parts"),
}
"""By `PhotoError.kind`."""


def of_photo(error: PhotoError) -> Problem:
    """Return the problem of a photo that cannot be used."""
    status, title = PHOTOS[error.kind]
    headers = {"Accept": ", ".join(f"image/{name.lower()}" for name in FORMATS)} if status == 415 else {}
    detail = f"{error.thing} {error.reason}"
    return Problem(status, error.kind, title, detail, error.next_step, headers)


def of_model(error: UserError) -> Problem:
    """Return the problem of a model that gives no depth; it names the model's file, but not its folder."""
    detail = f"{PurePath(error.thing).name} {error.reason}"
    next_step = f"try another photo; the server's operator should {error.next_step}"
    return Problem(500, "model", "The model gives no depth", detail, next_step)


def busy(reason: str, detail: str, retry_after_s: int, alternative: str = "") -> Problem:
    """Return the problem of a server that cannot take or finish the photo now.

    The reason is `queue-full`, `deadline`, `starting` or `draining`; `alternative` is a further next step.
    """
    wait = f"try again in {retry_after_s} s{alternative}"
    return Problem(503, reason, "The server is busy", detail, wait, {"Retry-After": str(retry_after_s)})


def large_form(parts: int) -> Problem:
    """Return the problem of a form that holds more than a photo needs."""
    detail = f"the form has more than {parts} fields, or one without a file that is too long"
    next_step = "send the photo alone, as a file in the field photo (curl -F photo=@photo.jpg, with the @)"
    return Problem(413, "large-form", "The form is too large", detail, next_step)


def unknown_sample(name: str) -> Problem:
    """Return the problem of an unknown sample photo."""
    return Problem(404, "no-sample", "No such sample", f"there is no sample photo called {name!r}", "choose another")


def not_acceptable(media_types: list[str]) -> Problem:
    """Return the problem of a client that accepts no representation."""
    choice = ", ".join(media_types)
    detail = "no answer is of a type that the Accept header names"
    return Problem(406, "not-acceptable", "Not acceptable", detail, f"accept one of {choice}")


def compressed_body(encoding: str) -> Problem:
    """Return the problem of a compressed body: photos are compressed already."""
    detail = f"the body has Content-Encoding {encoding}"
    headers = {"Accept-Encoding": "identity"}
    return Problem(415, "compressed", "The body is compressed", detail, "send the photo as it is", headers)


def from_another_site() -> Problem:
    """Return the problem of a form that another site's page sent."""
    detail = "the browser says that a page of another site sent this"
    return Problem(403, "cross-site", "Sent from another site", detail, "use the server's own page or another client")


NEXT_STEPS = {
    400: "send an HTTP/1.1 request, and with a body its Content-Length",
    404: "openapi.json, beside the page, lists what there is",
    405: "the Allow header and openapi.json, beside the page, name the methods",
    413: "send a smaller photo, or scale it down",
    500: "try another photo; the server's log has the error",
}


def of_http(error: HTTPException, max_upload_bytes: int) -> Problem:
    """Return the problem of an error of the framework or of HTTP itself."""
    status = error.code or 500
    detail = error.description or error.name
    if status == 413:
        detail = f"the request's body is over the limit of {max_upload_bytes:,} bytes"
    response = error.get_response()
    headers = {name: response.headers[name] for name in ("Allow",) if name in response.headers}
    next_step = NEXT_STEPS.get(status, "see openapi.json, beside the page")
    return Problem(status, error.name.lower().replace(" ", "-"), error.name, detail, next_step, headers)
