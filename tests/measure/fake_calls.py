"""A stand-in for `midas_bench.depth.calls`: sleeps instead of a network, and a log of who did what when.

Each line of the log: arm, process id, event. `photos` are ignored; `config` says how long a call takes and what fails.
"""

import os
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace


class Pixels:
    """What the worker needs of an array."""

    def __init__(self, height, width, value=b"\0"):
        self.shape = (height, width, 3)
        self.tobytes = lambda: value * (height * width * 3)


@contextmanager
def calls(photos, **config):  # noqa: ARG001
    def log(event):
        with Path(config["log"]).open("a") as file:
            file.write(f"{config['name']} {os.getpid()} {event}\n")

    def call():
        log("begin")
        if "die" in config:
            raise MemoryError("no room for a tensor")
        if "hang" in config:
            time.sleep(600)
        time.sleep(config["call_s"])
        log("end")
        if "elsewhere_s" in config:
            return SimpleNamespace(
                timed_elsewhere_s=config["elsewhere_s"], parts_s={"decode": config["elsewhere_s"] / 4}
            )
        return [Pixels(2, 2), Pixels(1, 1, value=b"\1")]

    log("open")
    time.sleep(float(os.environ.get("SLOW_START", "0")))
    while time.process_time() < config.get("busy_start_s", 0):
        pass
    if "refuse" in config:
        raise ValueError("it will not open")
    print("what libraries say", flush=True)  # noqa: T201
    yield {"pipeline": call, "inference": call}
    log("close")
