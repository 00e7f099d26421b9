"""Ray is an extra, imported only where it was asked for."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from midas_bench.errors import UserError, missing_libraries
from midas_bench.processes import last_words

LIBRARIES = ("ray", "pyarrow", "fsspec")
INSTALL = "pip install 'midas-bench[fleet]'"

ADDRESS_VARIABLE = "RAY_ADDRESS"
REACH_TIMEOUT_S = 10.0
OBJECT_STORE_BYTES = 100_000_000
"""Names and outcomes of photos alone pass through the store; Ray would reserve a third of the memory."""


def require_ray(thing: str) -> None:
    """Refuse what Ray is needed for where it is not installed.

    Args:
        thing: that needs it, as the error names it.

    Raises:
        UserError: Ray is not installed.
    """
    absent = missing_libraries(thing, LIBRARIES, INSTALL)
    if absent:
        raise absent


def reason_of(error: BaseException) -> str:
    """Return the first sentence of the last line of Ray's error: what follows is for Ray's developers."""
    return last_words(str(error)).partition(". ")[0]


@contextmanager
def connected(address: str | None = None) -> Iterator[None]:
    """Connect to a cluster, and leave it at the end; an open connection is taken and stays.

    Args:
        address: of the cluster, as `ray.init` takes it. None takes the cluster of RAY_ADDRESS, or the one that runs
            here; where there is none, one of this machine alone is started, which ends with the block.

    Raises:
        UserError: no cluster answers at the address.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    # on standard output, it would print the last lines of a dead node's log
    ray._private.worker._worker_logs_enabled = False
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    named = os.environ.get(ADDRESS_VARIABLE)
    asked = address if address not in (None, "auto") else named
    # what `ray start` noted: Ray's own "auto" takes others' clusters too, even those that end with their command
    place = asked or ray._private.services.find_bootstrap_address(None)
    try:
        if place is None:
            raise ConnectionError("none runs here")
        _reach(place)
        ray.init(place, **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        if asked or address:
            thing = f"{ADDRESS_VARIABLE}={named}" if named and asked == named else f"--address {address}"
            reason = f"no Ray cluster answers ({str(error).partition('. ')[0]})"
            raise UserError(thing, reason, "start one with `ray start --head`, or correct the address") from error
        start_here(**quiet)
    try:
        yield
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Raise OSError or ValueError at once where nothing listens: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise ValueError("it is no HOST:PORT")
    socket.create_connection((host, int(port)), REACH_TIMEOUT_S).close()


def start_here(**options: object) -> None:
    """Start a cluster of this machine alone, which no other machine reaches."""
    import ray

    # Ray takes 127.0.0.1 for the machine's own address, and then listens to the network, unless this is off
    ray._private.ray_constants.ENABLE_RAY_CLUSTER = False
    os.environ[ray._private.ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    ray.init("local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **options)
