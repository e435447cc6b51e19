"""Claims about a study, tested: what its table supports, refutes, or leaves open.

from analysis import findings, load_runs
print("\\n".join(findings(load_runs("runs/diminishing_returns")).sentences()))
"""
