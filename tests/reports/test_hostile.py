"""Names and values that nobody would choose: they are shown as they are, break nothing, and say
what they mean.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser

from analysis import AnalysisError
from reports.build import main
from reports.download import GZIP, csv_address
from reports.errors import ReportError
from reports.page import Page, make_table, packed_json, render, unpacked
from reports.readable import visible
from reports.report import build_report
from reports.report_data import read_study, read_validation_curves
from reports.wording import sentence
from tests.reports.page_reader import Reader
from tests.reports.visit import Visit

LONG = "finetune-" + "0123456789abcdef" * 18 + "end"
NAMES = (
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    "\"quoted\" & 'quoted' {{ 7 * 7 }} {% raw %}",
    "🦆 café العربية עברית",
    "turned \u202e 0.12 \u2066 round",
    "two\nlines\tand NUL \x00",
    LONG,
)


@pytest.fixture(autouse=True)
def quick_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    """To ask analysis takes seconds, and what it is asked is tested with it."""

    def refuse(runs: pd.DataFrame) -> None:
        raise AnalysisError(f"not asked of {NAMES[0]}.")

    monkeypatch.setattr("analysis.findings", refuse, raising=False)


def csv_of(address: str) -> str:
    return base64.b64decode(address.partition("base64,")[2]).decode("utf-8")


def renamed(study: Path, column: str, value: str) -> Path:
    """The study with another value in a column of its runs, planned and finished."""
    plan = json.loads((study / "plan.json").read_text(encoding="utf-8"))
    for run in plan["runs"]:
        run[column] = value
    (study / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    runs = pd.read_parquet(study / "runs.parquet")
    runs.assign(**{column: value}).to_parquet(study / "runs.parquet", index=False)
    return study


def small(write: Callable[..., Path], folder: Path, **settings: object) -> Path:
    return write(folder, **({"intermediates": ("none",), "finetune_sizes": (100, 300, 1000), "examples": False} | settings))


def page_of(study: Path, tmp_path: Path) -> Reader:
    page = Reader(build_report(study, tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.count("script") == 3
    assert page.count("h1") == 1
    return page


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
@pytest.mark.parametrize("column", ["encoder", "finetune_source"])
def test_a_name_is_shown_and_runs_nothing(write: Callable[..., Path], tmp_path: Path, name: str, column: str) -> None:
    page = page_of(renamed(small(write, tmp_path / "study", seeds=(0, 1)), column, name), tmp_path)
    assert " ".join(visible(name).split()) in " ".join(page.text.split())
    assert "\u202e" not in page.text


@given(st.text())
@settings(max_examples=30, deadline=None)
def test_any_text_stands_in_a_page_as_itself(text: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("reports.page.vega_bundle", lambda: "")
        page = Reader(render(Page(kicker="k", title=text, lead=text, remarks=(text,))))
    assert page.count("script") == 3
    assert page.count("h1") == 1
    assert " ".join(page.text.split()).count(" ".join(visible(text).split())) >= 4


@given(st.recursive(st.none() | st.text() | st.floats(allow_nan=False, allow_infinity=False), lambda inner: st.lists(inner, max_size=4)))
def test_any_value_stands_in_a_script_as_itself(value: object) -> None:
    text = packed_json(value)
    assert "<" not in text
    assert json.loads(unpacked(text)) == value


def test_a_text_that_is_a_formula_is_none_in_a_spreadsheet_and_numbers_stay_numbers() -> None:
    frame = pd.DataFrame({"name": ["=1+1", "+x", "-0.5", "@a", "\tb", "plain", None], "value": [-0.5, 1.0, np.nan, np.inf, 0.0, -1e-9, 2.0]})
    address, changed = csv_address(frame.assign(**{"=head": 1}))
    text = csv_of(address)
    assert changed == 5
    for kept in ("'=1+1", "'+x", "\n-0.5,", "'@a", "'\tb", "plain", "'=head", ",-0.5,", ",-1e-09,"):
        assert kept in text
    table = make_table(frame, caption="c", file_name="f.csv")
    assert table.hidden == "In the CSV an apostrophe stands before 4 texts that a spreadsheet would take for formulas."


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_no_cell_of_a_csv_starts_like_a_formula_unless_it_is_a_number(texts: list[str]) -> None:
    address, _ = csv_address(pd.DataFrame({"name": texts}))
    for line in csv_of(address).splitlines()[1:]:
        if line.startswith(("=", "@")):
            # The rest of a text that holds a line break: inside quotes, so of one cell with what is
            # before it.
            assert any("\n" in text or "\r" in text or len(text.splitlines()) > 1 for text in texts)


def test_numbers_that_are_none_are_said_in_the_table() -> None:
    table = make_table(pd.DataFrame({"x": [np.nan, np.inf, -np.inf, 1.5]}), caption="c", file_name="f.csv")
    assert [row[0].text for row in table.rows] == ["–", "∞", "−∞", "1.5"]
    mixed = pd.DataFrame({"x": pd.Series([None, pd.NA, pd.NaT, np.float32("nan"), ""], dtype="object")})
    assert [row[0].text for row in make_table(mixed, caption="c", file_name="f.csv").rows] == ["–", "–", "–", "–", ""]


def test_control_characters_and_halves_of_pairs_can_be_seen() -> None:
    assert visible("a\x00b\x1bc\ud800d\u202ee\u200f") == "a␀b␛c\ufffdd[U+202E]e\u200f"
    assert visible("two\nlines\t") == "two\nlines\t"
    assert sentence("") == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda runs: runs.assign(miou=0.5),
        lambda runs: runs.assign(miou=np.where(runs["seed"] == 0, np.nan, runs["miou"])),
        lambda runs: runs.assign(miou=np.where(runs["seed"] == 0, np.inf, runs["miou"])),
        lambda runs: runs.assign(miou=0.0),
        lambda runs: runs.assign(val_mim_loss=np.nan),
        lambda runs: runs.assign(val_mim_loss=0.0),
        lambda runs: runs.head(1),
        lambda runs: runs.loc[runs["seed"] == 0],
        lambda runs: runs.assign(**{"=extra </script>": "@x"}),
        lambda runs: runs.drop(columns=["pretrain_length", "pixel_accuracy", "miou_ucl", "study"]),
    ],
    ids=["constant", "nan", "infinite", "zero score", "no loss", "zero loss", "one run", "one seed", "extra", "fewer"],
)
def test_a_strange_table_makes_a_page(write: Callable[..., Path], tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    study = small(write, tmp_path / "study")
    change(pd.read_parquet(study / "runs.parquet")).to_parquet(study / "runs.parquet", index=False)
    page = page_of(study, tmp_path)
    assert "NaN" not in json.dumps(page.specifications)
    assert " nan" not in page.text_of("findings")


def test_a_plan_without_runs_says_so(tmp_path: Path) -> None:
    study = tmp_path / "nothing"
    study.mkdir()
    (study / "plan.json").write_text('{"study": "nothing", "stages": [], "runs": []}', encoding="utf-8")
    text = page_of(study, tmp_path).text
    assert "The plan holds no run, so there is nothing to finish." in text
    assert "The study nothing plans no run." in text


@pytest.mark.parametrize(
    ("plan", "description"),
    [
        ({"stages": [{"id": "a"}], "runs": []}, "is no plan as docs/study_folder.md has it"),
        ({"stages": {}, "runs": 3}, "is no plan as docs/study_folder.md has it"),
        ({"stages": [], "runs": [{"run_id": "a"}]}, "lack seed, encoder, pretrain_id"),
    ],
)
def test_a_plan_that_is_none_is_one_sentence(tmp_path: Path, plan: object, description: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    with pytest.raises(ReportError, match=description):
        read_study(tmp_path)
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_measurements_that_are_null_or_cut_off_are_left_out(write: Callable[..., Path], tmp_path: Path) -> None:
    study = small(write, tmp_path / "study", seeds=(0, 1))
    identity = next(path.parent.name for path in study.glob("stages/pretrain-*/metrics.jsonl"))
    lines = ['{"step": 0, "val_mim_loss": null}', '{"step": null, "val_mim_loss": 1}', '{"step": 1, "val_mim_loss": NaN}', "null", '{"step": 9, "val']
    good = '{"step": 2, "image_passes": null, "val_mim_loss": 0.5}'
    (study / "stages" / identity / "metrics.jsonl").write_bytes("\n".join([*lines[:3], good, *lines[3:]]).encode() + b"\xff")
    curves = read_validation_curves(read_study(study), [identity])
    assert curves.to_dict("records") == [{"pretrain_id": identity, "step": 2, "image_passes": 2.0, "val_mim_loss": 0.5}]
    (study / "stages" / identity / "provenance.json").write_text('{"versions": null, "device": ["a", {}], "platform": "</pre>"}', encoding="utf-8")
    page_of(study, tmp_path)


def test_hostile_names_fit_a_phone_and_run_nothing_in_a_browser(write: Callable[..., Path], tmp_path: Path, browser: Browser) -> None:
    study = small(write, tmp_path / "study", intermediates=("none", "".join(NAMES)), seeds=(0, 1), examples=True)
    renamed(renamed(study, "encoder", LONG), "finetune_source", NAMES[0])
    opened = Visit.to(build_report(study, tmp_path / "report.html"), browser)
    opened.look(width=390)
    assert opened.beyond_the_edge() == []
    assert opened.requests == []
    assert opened.complaints == []


def test_a_large_table_is_gzipped_with_every_digit_and_the_same_bytes_each_time() -> None:
    frame = pd.DataFrame({"value": np.random.default_rng(0).standard_normal(40_000)})
    address, _ = csv_address(frame)
    assert address.startswith(GZIP)
    assert address == csv_address(frame)[0]
    text = gzip.decompress(base64.b64decode(address.removeprefix(GZIP))).decode("utf-8")
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(text)), frame, rtol=1e-15)
    assert make_table(frame, caption="Many", file_name="many.csv").file_name == "many.csv.gz"
