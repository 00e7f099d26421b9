"""A request while it arrives: refused when it takes too long, or when all of them together take too much memory."""

from __future__ import annotations

import time
from collections.abc import Callable

from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import BadRequest, Error

RECEIVE_S = 60.0
LEAST_BYTES_PER_S = 100_000
"""A request may take `RECEIVE_S`, and as long again as its bytes need at this rate."""
PIECE_BYTES = 4096
"""Of a body in chunks, what waitress gets at a time: for each chunk it copies all that is left."""
FRAMING_BYTES = 64 << 10
FRAMING_SHARE = 1 / 8
"""Lengths, extensions and trailers of chunks may take so much, and this share of the content on top. They are read in
Python by the thread that serves all connections."""


class TooSlowError(Error):  # type: ignore[misc]  # waitress has no types
    """The client sends too slowly."""

    code, reason = 408, "Request Timeout"


class BusyError(Error):  # type: ignore[misc]
    """The server does not wait for the rest of the request; the body is the reason, as in `problems.busy`."""

    code, reason = 503, "Service Unavailable"


class LimitedRequestParser(HTTPRequestParser):  # type: ignore[misc]
    """A request; what refuses it is in `error` as for waitress's own reasons.

    Attributes:
        completed: whether all of it is here, or it is refused.
        arrived_s: when that was so, on the clock of `time.perf_counter`.
    """

    completed: bool

    def __init__(self, adj: Adjustments, full: Callable[[], bool]) -> None:
        """Begin to wait for it; `full` tells whether bodies, this one included, take too much memory."""
        super().__init__(adj)
        self._full = full
        self._since_s = time.monotonic()
        self.arrived_s = time.perf_counter()

    def begin_again(self) -> None:
        """Count its time from now on: until now nobody read it."""
        self._since_s = time.monotonic()

    def received(self, data: bytes) -> int:
        """Take bytes, and return how many were this request's."""
        taken: int = super().received(data[:PIECE_BYTES] if self.chunked else data)
        if not self.completed:
            bytes_so_far = self.header_bytes_received + self.body_bytes_received
            if time.monotonic() - self._since_s > RECEIVE_S + bytes_so_far / LEAST_BYTES_PER_S:
                self.error = TooSlowError("too slow")
            elif self.body_bytes_received and self._full():
                self.error = BusyError("uploads")
            elif self.chunked and self._framing_bytes > FRAMING_BYTES + FRAMING_SHARE * len(self.body_rcv):
                self.error = BadRequest("the chunks of the body are too small, or there is too much around them")
            self.completed = self.error is not None
        self.arrived_s = time.perf_counter()
        return taken

    @property
    def _framing_bytes(self) -> int:
        return int(self.body_bytes_received - len(self.body_rcv))

    def give_up(self) -> None:
        """Refuse it without what is missing of it: the server stops."""
        self.error = BusyError("draining")
        self.completed = True

    def parse_header(self, header_plus: bytes) -> None:
        """Read the head.

        Raises:
            ParsingError: it is malformed; also where waitress lets Python's own error through, as for a length of more
                digits than Python reads.
        """
        try:
            super().parse_header(header_plus)
        except ValueError as error:
            raise ParsingError(f"the head is malformed ({error})") from error
        if self.version != "1.1" and "TRANSFER_ENCODING" in self.headers:
            raise ParsingError(f"HTTP/{self.version} knows no Transfer-Encoding, so that the body has no end")
