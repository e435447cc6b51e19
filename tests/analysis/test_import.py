"""Importing `analysis` must stay light: it is for a laptop and a CSV."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "ray", "altair", "statsmodels"}


def loaded(program: str) -> set[str]:
    code = f"import sys\n{program}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_analysis_loads_nothing_until_a_name_is_asked_for() -> None:
    assert not loaded("import analysis") & (HEAVY | {"pandas", "numpy", "scipy"})


def test_the_columns_are_read_without_pandas() -> None:
    assert not loaded("import analysis.runs.columns") & (HEAVY | {"pandas", "numpy", "scipy"})


def test_every_public_name_is_there_and_none_is_heavy() -> None:
    assert not loaded("import analysis; [getattr(analysis, name) for name in analysis.__all__]") & (HEAVY | {"scipy"})


def test_fitting_a_law_does_not_wait_for_pandas() -> None:
    program = "from analysis import choose_law, fit\nx = [1.0, 2.0, 4.0, 8.0, 16.0]\ny = [9.0, 6.0, 4.5, 3.7, 3.3]\n"
    assert not loaded(program + "fit(x, y).summary(); choose_law(x, y).predict(32.0)") & (HEAVY | {"pandas"})


def test_a_name_that_is_not_there_says_so() -> None:
    import analysis

    with pytest.raises(AttributeError, match="No analysis attribute fits"):
        analysis.fits  # noqa: B018
