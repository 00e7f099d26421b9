"""A child that answers, raises or is killed, as its request says."""

import os
import signal
import sys

from midas_bench.processes import answer


def handle(request):
    if request["do"] == "raise":
        raise MemoryError("no room for a tensor of 3 GiB")
    if request["do"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return {"baseline_rss_bytes": 1 << 20, "loaded_rss_bytes": 2 << 20, "peak_rss_bytes": 3 << 20}


if __name__ == "__main__":
    sys.exit(answer(handle))
