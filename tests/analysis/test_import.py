import subprocess
import sys

PROGRAM = """
import sys, time
import numpy, pandas
start = time.perf_counter()
import analysis
seconds = time.perf_counter() - start
heavy = sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "ray", "altair", "statsmodels", "scipy"})
print(heavy, seconds < 0.5, sorted(analysis.__all__) == sorted(name for name in analysis.__all__ if hasattr(analysis, name)))
"""


def test_importing_analysis_adds_nothing_heavy_to_pandas() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True True"
