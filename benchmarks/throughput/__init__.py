"""Images a second from files on disk to updated weights: ours beside three rivals, in one run.
`python -m benchmarks.throughput`.
"""
