"""A Ray cluster of several nodes on this machine, each with processes of its own: they end with this process's input.

It reads a JSON list on its first line, with the arguments of `Cluster.add_node` for each node, and prints
`{"address": ..., "raylets": [PID, ...]}`.
"""

from __future__ import annotations

import json
import select
import sys

from ray._private import ray_constants
from ray.cluster_utils import Cluster

OBJECT_STORE_BYTES = 80_000_000


def main() -> None:
    cluster = Cluster()
    # only this machine reaches its ports
    local = {"node_ip_address": "127.0.0.1", "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        nodes = [cluster.add_node(**local, **arguments) for arguments in json.loads(sys.stdin.readline())]
        cluster.wait_for_nodes()
        raylets = [node.all_processes[ray_constants.PROCESS_TYPE_RAYLET][0].process.pid for node in nodes]
        sys.stdout.write(json.dumps({"address": cluster.address, "raylets": raylets}) + "\n")
        sys.stdout.flush()
        # a node that was killed would stay a zombie, which its workers take for alive
        while not select.select([sys.stdin], [], [], 0.2)[0]:
            for node in nodes:
                node.live_processes()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
