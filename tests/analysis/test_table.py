import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import RUN_COLUMNS, STAGE_COLUMNS, AnalysisError, load_runs, load_stages
from analysis.runs.columns import Column, column_of, documented, score_columns


def test_csv_and_parquet_of_one_table_load_equal(study, tmp_path: Path) -> None:
    table = study().assign(mine=[f"{row}" if row % 3 else None for row in range(60)], iou_border=math.nan, intermediate_id=None)
    table.to_parquet(tmp_path / "runs.parquet")
    table.to_csv(tmp_path / "runs.csv", index=False)
    from_csv, from_parquet = load_runs(tmp_path / "runs.csv"), load_runs(tmp_path / "runs.parquet")
    pd.testing.assert_frame_equal(from_csv, from_parquet)
    pd.testing.assert_frame_equal(load_runs(tmp_path), from_parquet)
    assert list(from_csv.columns) == list(table.columns)
    assert from_csv["seed"].dtype == "int64"
    assert from_csv["miou"].dtype == "float64"
    assert from_csv["encoder"].dtype == pd.StringDtype(na_value=np.nan)
    assert from_csv["pretrain_id"].isna().sum() == 20
    assert (from_csv["intermediate"] == "none").sum() == 30


def test_every_column_is_documented_and_titled() -> None:
    for name, column in (RUN_COLUMNS | STAGE_COLUMNS).items():
        assert (column.name, column.title != "", column.description != "") == (name, True, True)
        assert (column.better != "") >= (column.role in ("loss", "score"))


def own_columns(**fields: object) -> str:
    own = Column("f_measure", "mean F measure of the classes", "fraction", "score", "higher", 0.0, 1.0, "F measure")
    entries = documented(RUN_COLUMNS | {"f_measure": own})
    entries["runs"]["f_measure"] |= fields
    return json.dumps(entries)


def test_the_columns_that_a_study_documents_itself_come_with_its_table(study, tmp_path: Path) -> None:
    table = study().drop(columns=["miou"]).assign(f_measure=np.linspace(0, 1, 60))
    table.to_parquet(tmp_path / "runs.parquet")
    table.to_csv(tmp_path / "runs.csv", index=False)
    (tmp_path / "columns.json").write_text(own_columns(of_a_later_version=1))
    for runs in (load_runs(tmp_path), load_runs(tmp_path / "runs.csv")):
        assert [column.name for column in score_columns(runs)] == ["f_measure"]
        assert column_of(runs.iloc[3:], "f_measure").title == "F measure"
        assert list(runs.attrs["columns"]) == ["f_measure"], "what the code documents is not kept twice"
    assert column_of(runs, "val_mim_loss") == RUN_COLUMNS["val_mim_loss"]
    assert column_of(runs, "mine") == Column("mine", "", role="measure")


@pytest.mark.parametrize(
    "text", ["{}", "[]", "not json", '{"runs": {"f_measure": 3}, "stages": {}}', own_columns(better="more"), own_columns(role="x")]
)
def test_a_columns_file_that_cannot_be_read_is_named(study, tmp_path: Path, text: str) -> None:
    study().to_parquet(tmp_path / "runs.parquet")
    (tmp_path / "columns.json").write_text(text)
    with pytest.raises(AnalysisError, match=r"columns\.json does not document columns \(.*remove it, or launch the study again, which writes it"):
        load_runs(tmp_path)


def test_a_csv_of_ones_own_needs_only_the_required_columns(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("finetune_images,miou,model\n60,0.41,small\n600,0.52,\n")
    runs = load_runs(file)
    assert list(runs.columns) == ["finetune_images", "miou", "model"]
    assert runs["model"].isna().tolist() == [False, True]
    file.write_text("loss\n1.5\n")
    assert load_runs(file, required=("loss",))["loss"].tolist() == [1.5]


def test_stages_are_read_from_a_study_folder(tmp_path: Path) -> None:
    pd.DataFrame({"stage_id": ["a"], "kind": ["pretrain"], "state": ["done"], "gpu_hours": [0]}).to_parquet(tmp_path / "stages.parquet")
    assert load_stages(tmp_path)["gpu_hours"].dtype == "float64"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "{file} is empty: give a CSV with a line of column names and one line per run."),
        ("finetune_images,miou\n", "{file} holds no rows: nothing to analyse yet."),
        (
            "finetune_image,miou\n1,2\n",
            "{file} has no column 'finetune_images' (did you mean 'finetune_image'?): add it, or name another.",
        ),
        ("a,b\n1,2\n", "{file} has no column 'finetune_images' (there are: a, b): add it, or name another."),
        (
            "finetune_images,miou\n60,0.4\n\n600,n/k\n",
            "{file}, column 'miou', line 4: 'n/k' is not a number: correct it, or leave the cell empty.",
        ),
        ("miou,miou\n1,2\n", "{file} has two columns 'miou': rename or remove one."),
        (
            "finetune_images,miou\n60,0,4\n",
            "{file}, line 2: 3 cells under 2 column names: quote cells that hold a comma.",
        ),
    ],
)
def test_a_csv_that_cannot_be_used_is_refused_in_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(text)
    with pytest.raises(AnalysisError) as error:
        load_runs(file)
    assert str(error.value) == sentence.format(file=file)


def test_text_in_a_number_column_of_parquet_names_the_row(tmp_path: Path) -> None:
    file = tmp_path / "mine.parquet"
    pd.DataFrame({"finetune_images": [60, 600], "miou": ["0.4", "high"]}).to_parquet(file)
    with pytest.raises(AnalysisError) as error:
        load_runs(file)
    assert str(error.value) == f"{file}, column 'miou', row 1: 'high' is not a number: correct it, or leave the cell empty."


def test_a_missing_place_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError) as error:
        load_runs(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} holds no runs.parquet: no run has finished there, or it is not a study folder; look with python -m scaling.status {tmp_path}."
    )
    with pytest.raises(AnalysisError, match=r"does not exist: give a study folder, a \.csv or a \.parquet file"):
        load_runs(tmp_path / "none.csv")
    (tmp_path / "runs.xlsx").write_text("x")
    with pytest.raises(AnalysisError, match=r"is neither \.csv nor \.parquet"):
        load_runs(tmp_path / "runs.xlsx")
    (tmp_path / "bad.parquet").write_text("x")
    with pytest.raises(AnalysisError, match="cannot be read as Parquet"):
        load_runs(tmp_path / "bad.parquet")


def test_a_table_with_other_separators_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("n;err\n1;0.5\n")
    with pytest.raises(AnalysisError, match=r"runs\.csv separates its columns by ';': save it with commas\."):
        load_runs(tmp_path / "runs.csv", required=["n"])
