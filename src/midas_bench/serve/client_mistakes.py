"""The mistakes of clients in sending a photo, inferred from the request: the file itself may be sound."""

from __future__ import annotations

import re
from dataclasses import replace

from werkzeug import Request

from midas_bench.serve.problems import Problem

URLENCODED = "application/x-www-form-urlencoded"
FORM = "multipart/form-data"
IN_A_FORM = "send a file in the field photo (curl -F photo=@photo.jpg)"
AS_IT_IS = f"send the file's bytes as they are (curl --data-binary @photo.jpg), or {IN_A_FORM}"
BY_POST = "send photos by POST to api/depth (curl --data-binary @photo.jpg in place of -T photo.jpg)"
LEFT_TO_THE_CLIENT = "let the client set the Content-Type with its boundary (curl -F photo=@photo.jpg and no -H for it)"

COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\x78\x01": "zlib", b"\x78\x9c": "zlib"}
"""By the first bytes; no picture begins with them."""
WRITTEN_AS = {
    "base64": rb"(?<![\w+/-])(?:/9j/|_9j_|%2F9j%2F|iVBORw0KGgo|UklGR)",
    "hexadecimal digits": rb"(?i)(?<![\w%\\])(?:0x)?(?:ff\s?d8\s?ff|89\s?50\s?4e\s?47|52\s?49\s?46\s?46)",
    "numbers": rb"(?<!\d)(?:255,\s*216,\s*255|137,\s*80,\s*78|82,\s*73,\s*70)",
    "escaped bytes": rb"(?i:%FF%D8%FF|%89PNG|\\xff\\xd8\\xff|\\x89PNG|\\u00ff\\u00d8|\\u0089PNG)"
    rb"|(?i:RIFF\S{0,16}(?:%|\\x|\\u00)[0-9a-f]{2}\S{0,16}WEBP)",
}
"""How a JPEG, PNG or WebP begins that is written as text, perhaps inside JSON, a field of a form or a data: URL."""
HEAD_BYTES = 1024
"""A photo that is written as text begins within them."""
SURE_BYTES = 4096
"""Bytes of a photo are nearly random: in this many, each value occurs."""
ZERO_BYTES = 64
"""In this many bytes of any photo a zero occurs, because its header holds small numbers."""
NEWLINES = 16
"""This many newlines, each behind a carriage return, are no coincidence."""
SHOWN = 30


def explain_sending(problem: Problem, photo: bytes, request: Request) -> Problem:
    """Return the problem of a photo; where the request shows that it was spoilt in sending, return that problem.

    Args:
        problem: of the photo, were it the file's own.
        photo: its bytes as received, in the body or in a form.
        request: that holds it.
    """
    if problem.reason not in ("empty", "truncated", "damaged", "foreign"):
        return problem
    in_form = request.mimetype == FORM
    if not photo:
        return problem if in_form else replace(problem, detail="the body of the request is empty", next_step=AS_IT_IS)
    subject = "the file in the form" if in_form else "the body"
    detail, next_step = _spoilt_file(photo) or (None if in_form else _not_a_file(photo, request.mimetype)) or ("", "")
    if not detail:
        return problem
    title = "The request does not hold the bytes of a photo"
    return replace(problem, reason="sending", title=title, detail=f"{subject} {detail}", next_step=next_step)


def _spoilt_file(photo: bytes) -> tuple[str, str] | None:
    """Explain bytes that no photo's file has."""
    for start, name in COMPRESSED.items():
        if photo.startswith(start):
            return f"is compressed ({name})", AS_IT_IS
    text = _text(photo)
    # no photo is UTF-8, and no text holds a zero byte
    if photo.startswith((b"???", b"?PNG")) or (text is not None and "\0" in text):
        return "was changed as if it were text", f"open the file as binary, and {AS_IT_IS}"
    if text is None:
        if photo.count(b"\n") == photo.count(b"\r\n") >= NEWLINES:
            return "has a carriage return before each newline", f"open the file as binary, and {AS_IT_IS}"
        return None
    names = (name for name, start in WRITTEN_AS.items() if re.search(start, photo[:HEAD_BYTES]))
    written_as = next(names, None)
    return (f"holds the photo as text ({written_as})", f"decode it, and {AS_IT_IS}") if written_as else None


def _not_a_file(body: bytes, media_type: str) -> tuple[str, str] | None:
    """Explain a body that does not hold a file's bytes."""
    if body.lstrip().startswith(b"--") and b"content-disposition:" in body[:HEAD_BYTES].lower():
        return f"is a form that came as {media_type or 'no type'}", LEFT_TO_THE_CLIENT
    text = _text(body)
    if text is not None:
        came_as = f" that came as {media_type}" if media_type else ""
        return f"is text{came_as} and begins {text[:SHOWN]!r}", f"{AS_IT_IS}; curl needs the @ before the file's name"
    surely = len(body) >= SURE_BYTES or (len(body) >= ZERO_BYTES and b"\0" not in body)
    if b"\n" not in body and (surely or media_type == URLENCODED):
        came_as = f"came as {media_type} and " if media_type else ""
        return f"{came_as}holds no newline byte: curl -d takes them out", AS_IT_IS
    return None


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def without_photo(request: Request) -> Problem:
    """Return the problem of a request that should be a form with a photo, and is not."""
    detail = "the form has no file called photo, or it is damaged and cannot be read"
    next_step = f"{IN_A_FORM}, and the form whole"
    if request.mimetype != FORM:
        came_as = f"as {request.mimetype}" if request.mimetype else "without a Content-Type"
        detail = f"the body came {came_as}, and here is the page's form"
        next_step = f"send the file's bytes to api/depth (curl --data-binary @photo.jpg), or here {IN_A_FORM}"
    elif not request.mimetype_params.get("boundary"):
        detail, next_step = "the Content-Type of the form has no boundary", LEFT_TO_THE_CLIENT
    elif "photo" in request.form:
        detail = "the field photo of the form is text and no file"
        next_step = "send it as a file: curl -F photo=@photo.jpg, with the @, or a file name in the part's header"
    elif "photo" not in request.files and (others := [*request.files, *request.form]):
        names = ", ".join(repr(name[:SHOWN]) for name in others)
        detail, next_step = f"the form has no field photo, but {names}", f"name the field photo: {IN_A_FORM}"
    return Problem(400, "no-photo", "No photo was sent", detail, next_step)


def without_form() -> Problem:
    """Return the problem of a form that does not begin with its boundary."""
    detail = "the Content-Type is that of a form, and the body does not begin with its boundary"
    return Problem(400, "no-photo", "No photo was sent", detail, LEFT_TO_THE_CLIENT)
