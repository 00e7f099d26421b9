"""A request while it arrives: it is refused if it takes too long, or if all uploads together take too much memory."""

from __future__ import annotations

import time
from collections.abc import Callable

from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import BadRequest, Error

RECEIVE_S = 60.0
LEAST_BYTES_PER_S = 100_000
"""A request may take `RECEIVE_S`, plus the time that its bytes need at this rate."""
PIECE_BYTES = 4096
"""Bytes of a chunked body that waitress gets at a time: for each chunk it copies all that remains."""
FRAMING_BYTES = 64 << 10
FRAMING_SHARE = 1 / 8
"""Lengths, extensions and trailers of chunks may take these bytes, plus this share of the content. The thread that
serves all connections reads them, in Python."""


class TooSlowError(Error):  # type: ignore[misc]  # waitress has no types
    """The client sends too slowly."""

    code, reason = 408, "Request Timeout"


class BusyError(Error):  # type: ignore[misc]
    """The server does not wait for the rest of the request; the body is the reason, as in `problems.busy`."""

    code, reason = 503, "Service Unavailable"


class LimitedRequestParser(HTTPRequestParser):  # type: ignore[misc]
    """A request; a refusal is in `error`, as for waitress's own reasons.

    Attributes:
        completed: whether all of it has arrived, or it is refused.
        arrived_s: when that was so, on the clock of `time.perf_counter`.
    """

    completed: bool

    def __init__(self, adj: Adjustments, uploads_full: Callable[[], bool]) -> None:
        """Begin to receive; `uploads_full` tells whether bodies, this one included, take too much memory."""
        super().__init__(adj)
        self._uploads_full = uploads_full
        self._since_s = time.monotonic()
        self.arrived_s = time.perf_counter()

    def restart_clock(self) -> None:
        """Count its time from now on: until now the server did not read it."""
        self._since_s = time.monotonic()

    def received(self, data: bytes) -> int:
        """Take bytes, and return how many were this request's."""
        taken: int = super().received(data[:PIECE_BYTES] if self.chunked else data)
        if not self.completed:
            bytes_so_far = self.header_bytes_received + self.body_bytes_received
            if time.monotonic() - self._since_s > RECEIVE_S + bytes_so_far / LEAST_BYTES_PER_S:
                self.error = TooSlowError("too slow")
            elif self.body_bytes_received and self._uploads_full():
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
        """Refuse it without its missing part: the server is stopping."""
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
