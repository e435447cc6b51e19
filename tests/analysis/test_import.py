"""Importing `analysis` must stay light: it is for a laptop and a CSV."""

import subprocess
import sys

PROGRAM = """
import sys
import analysis
print(sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "ray", "altair", "statsmodels", "scipy"}))
print(all(hasattr(analysis, name) for name in analysis.__all__))
"""


def test_importing_analysis_adds_nothing_heavy_to_pandas() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "True"]
