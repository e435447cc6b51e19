"""How often do the tests of `analysis` err, and do their intervals hold the truth? `python -m
benchmarks.statistics`.
"""
