"""Benchmarks of the fitting engine against other tools: `python -m benchmarks.fitting`."""
