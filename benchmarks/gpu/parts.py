"""The parts of the benchmark, each a function of the sizes, the results and the seconds left."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.gpu.first_steps import compiling
from benchmarks.gpu.parity import parity
from benchmarks.gpu.rates import large, loops, steps, together
from benchmarks.gpu.results import Results
from benchmarks.gpu.sizes import Sizes
from benchmarks.gpu.whole_stages import overhead, packing, study

Left = Callable[[], float]

PARTS: dict[str, Callable[[Sizes, Results, Left], None]] = {
    "parity": parity,
    "steps": steps,
    "overhead": overhead,
    "together": together,
    "packing": packing,
    "large": large,
    "loops": loops,
    "compiling": compiling,
    "study": study,
}
"""In the order of value for a second of the GPU."""
