"""What to do when a runtime or an exporter refuses a model, by the words of its message."""

from __future__ import annotations

import re

REFUSALS = (
    (
        r"not a registered|NOT_IMPLEMENTED|not support|no conversion rule|fully converted",
        "export it without that operator, or choose another backend",
    ),
    (r"\bopset\b|IR version", "export it for an opset and an IR version that this runtime reads"),
    (r"bad_?alloc|MemoryError|failed to allocate", "free some memory"),
)
"""What a runtime says when it refuses a model, and what to do about each."""


def advice_on(message: str) -> str | None:
    """Return what to do about a runtime's refusal, if its message is one of those that are known."""
    return next((advice for pattern, advice in REFUSALS if re.search(pattern, message, re.IGNORECASE)), None)
