import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from analysis import AnalysisError, summarise_cells


def test_each_cell_has_students_t_interval_and_a_single_run_says_it_has_none() -> None:
    runs = pd.DataFrame({"finetune_images": [60, 60, 60, 600, 60], "miou": [0.1, 0.2, 0.3, 0.5, np.nan]})
    table = summarise_cells(runs, by="finetune_images", level=0.9)
    half = t.ppf(0.95, 2) * 0.1 / np.sqrt(3)
    assert table.iloc[0, :6].tolist() == pytest.approx([60, 3, 0.2, 0.1, 0.2 - half, 0.2 + half])
    assert table["note"].tolist() == ["", "one run: no spread, so no interval"]
    assert np.isnan(table["sd"].iloc[1])


def test_a_missing_level_is_a_level() -> None:
    runs = pd.DataFrame({"pretrain_source": [None, "a", None], "finetune_images": 60, "miou": [0.1, 0.2, 0.3]})
    assert summarise_cells(runs, by=("pretrain_source", "finetune_images"))["n"].tolist() == [1, 2]


def test_a_misspelt_column_is_refused_in_a_sentence() -> None:
    with pytest.raises(AnalysisError, match=r"the runs table has no column 'miuo' \(did you mean 'miou'\?\): add it, or name another"):
        summarise_cells(pd.DataFrame({"a": [1], "miou": [0.1]}), by="a", outcome="miuo")
