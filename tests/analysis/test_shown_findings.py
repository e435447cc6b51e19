"""How findings and main effects print, show themselves in a notebook, and are drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis import AnalysisError, findings, main_effects
from analysis.claims.finding import Findings
from benchmarks.statistics.worlds import WORLDS, simulate_world


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    return simulate_world(np.random.default_rng(0), WORLDS["length only"], seeds=5)


def test_main_effects_say_the_headline_first_and_draw_a_row_an_axis(runs: pd.DataFrame) -> None:
    effects = main_effects(runs)
    assert str(effects).splitlines()[0] == effects.headline()
    assert len(str(effects).splitlines()) <= 12
    assert len(repr(effects)) < 200
    spec = effects.plot().to_dict()
    drawn = spec["datasets"][spec["layer"][1]["data"]["name"]]
    assert [row["estimate"] for row in drawn] == pytest.approx(effects.table["effect"].tolist())
    assert [row["label"].split(",")[0] for row in drawn] == effects.table["name"].tolist()
    filled = [row["label"] for row in spec["datasets"][spec["layer"][2]["data"]["name"]]]
    assert filled == [row["label"] for row in drawn if row["low"] > 0 or row["high"] < 0]
    assert effects._repr_html_().count("<svg") == 1


def test_findings_count_their_verdicts_and_show_the_primary_family_first(runs: pd.DataFrame) -> None:
    found = findings(runs)
    counts = {verdict: sum(one.verdict == verdict for one in found) for verdict in ("supported", "refuted", "negligible", "open")}
    said = found.summary().splitlines()
    assert said[0] == f"the study: {len(found)} claims, " + ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
    first = said[1 : 1 + len(found.primary)]
    assert {line.strip().split(maxsplit=1)[1] for line in first} == {one.headline for one in found.primary}
    assert len(str(found).splitlines()) == 12
    assert "more lines in .summary()" in str(found)
    assert len(repr(found)) < 200
    spec = found.plot().to_dict()
    drawn = spec["datasets"][spec["layer"][1]["data"]["name"]]
    assert {row["estimate"] for row in drawn} <= {one.estimate.value for one in found if one.estimate is not None}
    assert found._repr_html_().count("<svg") == 1


def test_findings_without_a_number_in_the_scores_unit_have_no_chart() -> None:
    with pytest.raises(AnalysisError, match="nothing to draw"):
        Findings(study="none", outcome="miou", statements=(), unanswered=()).plot()
