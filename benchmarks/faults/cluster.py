"""A Ray cluster of two nodes of one core each, on one machine; stdin asks for new nodes."""

from __future__ import annotations

import os
import sys

from benchmarks.faults.study import ENVIRONMENT

os.environ |= ENVIRONMENT

from ray.cluster_utils import Cluster


def main() -> None:
    """Print the address; then answer `node` with the second node's process id, and `another` by
    adding a node.
    """
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    print(f"cluster:{cluster.address}", flush=True)
    for line in sys.stdin:
        if line.strip() == "another":
            second = cluster.add_node(num_cpus=1)
            print("cluster:added", flush=True)
        else:
            process = second.all_processes["raylet"][0].process
            print(f"cluster:{process.pid}", flush=True)


if __name__ == "__main__":
    main()
