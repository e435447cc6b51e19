"""`fit`, `choose_law` and `fit_surface` on tables: names, groups, bad input, and what is shown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest
import torch

from analysis import AnalysisError, Fit, Fits, choose_law, correlate, exchange_rate, fit, fit_surface, main_effects

SIZES = (100, 200, 400, 800, 1600, 3200)
A = {"swin": 4.0, "vit": 3.0}


@pytest.fixture
def table() -> pd.DataFrame:
    random = np.random.default_rng(0)
    rows = [(name, seed, size, 0.2 + A[name] * size**-0.4) for name in A for seed in range(3) for size in SIZES]
    made = pd.DataFrame(rows, columns=["backbone", "seed", "n_labels", "err"])
    return made.assign(err=made["err"] * np.exp(0.005 * random.standard_normal(len(made))))


def vit(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["backbone"] == "vit"]


def same(one: Fit, other: Fit) -> bool:
    return one.params == other.params and one.intervals == other.intervals


def test_columns_series_arrays_and_tensors_give_one_fit(table: pd.DataFrame) -> None:
    part = vit(table)
    arrays = fit(part["n_labels"].to_numpy(), part["err"].to_numpy(), cluster=part["seed"].to_numpy())
    tensor = torch.tensor(part["err"].to_numpy(), requires_grad=True)
    for one in (
        fit(part, x="n_labels", y="err", cluster="seed"),
        fit(part["n_labels"], part["err"], cluster=part["seed"]),
        fit(x=part["n_labels"].tolist(), y=part["err"].tolist(), cluster=part["seed"].tolist()),
        fit(torch.tensor(part["n_labels"].to_numpy()), tensor, cluster=part["seed"]),
        fit(part.to_dict("list"), x="n_labels", y="err", cluster="seed"),
        fit(part.convert_dtypes(), x="n_labels", y="err", cluster="seed"),
        fit(part.convert_dtypes(dtype_backend="pyarrow"), x="n_labels", y="err", cluster="seed"),
        fit(part.astype({"n_labels": "category"}), x="n_labels", y="err", cluster="seed"),
        fit({"n": torch.tensor(part["n_labels"].to_numpy()), "e": tensor, "seed": part["seed"].to_numpy()}, x="n", y="e", cluster="seed"),
        fit(part[["n_labels", "err", "seed"]].set_axis([0, 1, 2], axis=1), x=0, y=1, cluster="2"),
    ):
        assert same(one, arrays)


def test_polars_and_arrow_tables_are_tables(table: pd.DataFrame) -> None:
    part = vit(table)
    expected = fit(part, x="n_labels", y="err", cluster="seed")
    assert same(fit(pa.Table.from_pandas(part), x="n_labels", y="err", cluster="seed"), expected)
    assert same(fit(polars.from_pandas(part), x="n_labels", y="err", cluster="seed"), expected)


def test_names_follow_into_sentences_tables_and_axes(table: pd.DataFrame) -> None:
    one = fit(vit(table), x="n_labels", y="err", cluster="seed")
    assert one.summary().splitlines()[0] == "y = E + A x^-b with y = err, x = n_labels, fitted to 18 points at 6 distinct x from 100 to 3,200"
    assert one.inverse(0.3).sentence.startswith("err = 0.3 is reached at n_labels = ")
    assert list(one.predict([5000]).to_frame().columns) == ["n_labels", "mean", "low", "high", "extrapolated"]
    titles = {layer["encoding"][axis]["title"] for layer in one.plot().to_dict()["layer"] for axis in "xy"}
    assert titles == {"n_labels", "err"}
    restored = Fit.from_json(one.to_json())
    assert (restored.x_name, restored.y_name) == ("n_labels", "err")
    plain = fit(vit(table)["n_labels"].to_numpy(), vit(table)["err"].to_numpy())
    assert plain.inverse(0.3).sentence.startswith("y = 0.3 is reached at x = ")


def test_a_fit_written_before_names_were_kept_is_read(table: pd.DataFrame) -> None:
    text = fit(vit(table)["n_labels"].to_numpy(), vit(table)["err"].to_numpy()).to_json()
    old = text.replace('"x_name": "x", "y_name": "y", ', "").replace(', "x_name": "x", "y_name": "y"', "")
    assert old != text
    assert Fit.from_json(old).x_name == "x"


def test_documented_columns_have_their_titles_on_axes() -> None:
    one = fit({"finetune_images": [100, 200, 400, 800], "miou": [0.4, 0.45, 0.48, 0.5]}, x="finetune_images", y="miou")
    assert {layer["encoding"]["y"]["title"] for layer in one.plot().to_dict()["layer"]} == {"mIoU"}


def test_by_gives_one_fit_a_group_and_compares_them(table: pd.DataFrame) -> None:
    fits = fit(table, x="n_labels", y="err", by="backbone", cluster="seed")
    assert isinstance(fits, Fits)
    assert list(fits) == ["swin", "vit"]
    alone = fit(vit(table), x="n_labels", y="err", cluster="seed")
    assert same(fits["vit"], alone)
    frame = fits.to_frame()
    assert frame["backbone"].tolist() == ["swin", "vit"]
    assert frame["A"].tolist() == pytest.approx([4.0, 3.0], rel=0.15)
    ranking = fits.ranking(1000)
    assert ranking["backbone"].tolist() == ["vit", "swin"]  # an error: lower is better
    assert ((ranking["low"] < ranking["mean"]) & (ranking["mean"] < ranking["high"])).all()
    rate = fits.exchange_rate("vit", "swin", 400)
    assert rate.ratio == exchange_rate(fits["vit"], fits["swin"], 400).ratio
    assert rate.ratio == pytest.approx((4 / 3) ** (1 / 0.4), rel=0.1)
    assert fits.speed_up("vit", "swin", at_y=0.5).ratio == pytest.approx((4 / 3) ** (1 / 0.4), rel=0.1)
    with pytest.raises(AnalysisError, match=r"there is no backbone 'vitt' \(.*vit"):
        fits["vitt"]


def test_by_takes_several_columns_and_labels(table: pd.DataFrame) -> None:
    fits = fit(table, x="n_labels", y="err", by=["backbone", "seed"])
    assert list(fits) == [f"{name}, {seed}" for name in A for seed in range(3)]
    by_labels = fit(table["n_labels"], table["err"], by=table["backbone"])
    assert by_labels.by == "backbone"
    assert by_labels["vit"].params == fit(table, x="n_labels", y="err", by="backbone")["vit"].params


def test_a_group_that_cannot_be_fitted_is_named_and_the_others_stand(table: pd.DataFrame) -> None:
    one_point = pd.DataFrame({"backbone": ["resnet"], "seed": [0], "n_labels": [100], "err": [0.9]})
    fits = fit(pd.concat([table, one_point]), x="n_labels", y="err", by="backbone")
    assert list(fits) == ["swin", "vit"]
    assert "resnet: no fit: " in fits.summary()
    with pytest.raises(AnalysisError, match="backbone 'resnet' has no fit: "):
        fits["resnet"]
    with pytest.raises(AnalysisError, match="no group could be fitted; backbone 'resnet': "):
        fit(one_point, x="n_labels", y="err", by="backbone")


def test_an_empty_level_of_a_category_is_no_group(table: pd.DataFrame) -> None:
    typed = table.astype({"backbone": pd.CategoricalDtype(["swin", "vit", "resnet"])})
    assert list(fit(typed, x="n_labels", y="err", by="backbone")) == ["swin", "vit"]


def test_choose_law_takes_tables_and_groups(table: pd.DataFrame) -> None:
    choices = choose_law(table, x="n_labels", y="err", by="backbone", cluster="seed")
    alone = choose_law(vit(table)["n_labels"].to_numpy(), vit(table)["err"].to_numpy(), cluster=vit(table)["seed"].to_numpy())
    assert choices["vit"].predict([10_000.0]).mean == pytest.approx(alone.predict([10_000.0]).mean)
    assert choices["vit"].summary().startswith(f"law chosen for err over n_labels: '{alone.law}' ")
    assert choices["vit"].inverse(0.3).sentence.startswith("err = 0.3 is reached at n_labels = ")
    assert choices["vit"].plot().to_dict()["layer"]


def test_a_surface_takes_columns_in_the_order_of_its_inputs() -> None:
    N, D = (values.ravel() for values in np.meshgrid([1e6, 1e7, 1e8], [1e8, 1e9, 1e10]))
    table = pd.DataFrame({"params": N, "tokens": D, "loss": 1.7 + 400 * N**-0.34 + 410 * D**-0.28})
    one = fit_surface(table, x=["params", "tokens"], y="loss", bootstrap=0)
    assert one.params == pytest.approx(fit_surface(table[["params", "tokens"]].to_numpy(), table["loss"].to_numpy(), bootstrap=0).params)
    assert one.params["alpha"] == pytest.approx(0.34, rel=1e-3)
    assert one.summary().splitlines()[0].startswith("y = E + A N^-alpha + B D^-beta with y = loss, N = params, D = tokens, fitted to 9 points")
    assert {layer["encoding"]["x"]["title"] for layer in one.plot().to_dict()["layer"]} == {"loss, fitted"}
    with pytest.raises(AnalysisError, match="a surface has several inputs, so name their columns"):
        fit_surface(table, x="params", y="loss")  # type: ignore[arg-type]


def test_rows_without_a_value_are_left_out(table: pd.DataFrame) -> None:
    holed = pd.concat([vit(table), pd.DataFrame({"backbone": ["vit"], "n_labels": [6400], "err": [np.nan], "seed": [0]})])
    assert same(fit(holed, x="n_labels", y="err"), fit(vit(table), x="n_labels", y="err"))


def emptied(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(err=table["err"].where(table["backbone"] != "swin"))


def twins(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table[["err"]]], axis=1)


WRONG = {
    "a missing column": (lambda t: fit(t, x="n_label", y="err"), r"the table has no column 'n_label' \(.*n_labels"),
    "no y": (lambda t: fit(t, x="n_labels"), "y is missing: name a column of the table.*backbone, seed, n_labels, err"),
    "no x": (lambda t: fit(t, y="err"), "x is missing: name a column"),
    "text": (lambda t: fit(t.assign(err="high"), x="n_labels", y="err"), "column 'err' holds 'high', which is not a number"),
    "one row": (lambda t: fit(t.head(1), x="n_labels", y="err"), "^err over n_labels, 1 point: the law 'power' has 3 free parameters"),
    "one row, choosing": (lambda t: choose_law(t.head(1), x="n_labels", y="err"), "^err over n_labels, 1 point: y is given at only 1 distinct x"),
    "one row of several groups": (lambda t: fit(t.head(1), x="n_labels", y="err", by="backbone"), "backbone 'swin': err over n_labels, 1 point: "),
    "numbers with commas": (lambda t: fit(t["n_labels"].map("{:,}".format), t["err"]), "column 'n_labels' holds '1,600', which is not a number"),
    "a column of weights": (lambda t: fit(t, x="n_labels", y="err", weights="w"), r"no column 'w' \(there are: backbone, seed, n_labels, err\)"),
    "a category of text": (
        lambda t: fit(t.astype({"backbone": "category"}), x="backbone", y="err"),
        "column 'backbone' holds 'swin', which is not a number",
    ),
    "a list for x": (lambda t: fit(t, x=["n_labels"], y="err"), r"x is \['n_labels'\], not the name of a column.*has backbone, seed, n_labels, err"),
    "a list for y": (lambda t: fit(t, x="n_labels", y=["err"]), r"y is \['err'\], not the name of a column.*has backbone, seed, n_labels, err"),
    "a path": (lambda t: fit("runs.csv", x="n_labels", y="err"), r'the table is the text .runs.csv.: read it first, load_runs\("runs.csv"'),
    "a grouped table": (lambda t: fit(t.groupby("backbone"), x="n_labels", y="err"), 'give the table itself, and by="COLUMN"'),
    "a lazy table": (lambda t: fit(polars.from_pandas(t).lazy(), x="n_labels", y="err"), r"a LazyFrame holds no rows yet: give table.collect\(\)"),
    "twins of Arrow": (lambda t: fit(pa.table([[1.0], [2.0]], names=["a", "a"]), x="a", y="a"), "two columns 'a'"),
    "an empty group": (
        lambda t: fit(emptied(t), x="n_labels", y="err", by="backbone")["swin"],
        "backbone 'swin' has no fit: none of its rows has a value",
    ),
    "no such group": (lambda t: fit(t, x="n_labels", y="err", by="backbone")["resnet"], r"no backbone 'resnet' \(there are: .*swin"),
    "twins of main effects": (lambda t: main_effects(twins(t), outcome="err", axes=["n_labels"]), "two columns 'err'"),
    "twins of a correlation": (lambda t: correlate(twins(t), x="err", y="n_labels", within=[]), "two columns 'err'"),
    "no rows": (lambda t: fit(t.head(0), x="n_labels", y="err"), "no row of the table has a value in each of n_labels, err"),
    "twins": (lambda t: fit(pd.concat([t, t[["err"]]], axis=1), x="n_labels", y="err"), "two columns 'err'"),
    "a name without a table": (lambda t: fit(t["n_labels"], "err"), "y is 'err', the name of a column, and no table was given"),
    "x twice": (lambda t: fit([1, 2, 3], [3, 2, 1], x=[1, 2, 3]), "x was given twice"),
    "nothing": (lambda t: fit(), "x is missing: write fit"),
    "all missing": (lambda t: fit(t.assign(err=np.nan), x="n_labels", y="err"), "no row of the table has a value in each of n_labels, err"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls_are_one_sentence_that_names_the_column(case: str, table: pd.DataFrame) -> None:
    call, sentence = WRONG[case]
    with pytest.raises(AnalysisError, match=sentence) as caught:
        call(table)
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


def test_a_misspelt_setting_is_named(table: pd.DataFrame) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'wieghts'"):
        fit(table, x="n_labels", y="err", wieghts="seed")  # type: ignore[call-overload]


def test_print_is_short_and_repr_holds_no_points(table: pd.DataFrame) -> None:
    one = fit(vit(table), x="n_labels", y="err", cluster="seed")
    many = choose_law(vit(table), x="n_labels", y="err")
    fits = fit(table, x="n_labels", y="err", by=["backbone", "seed"])
    for shown in (one, many, fits):
        assert len(str(shown).splitlines()) <= 12
        assert len(repr(shown)) < 200
        page = shown._repr_html_()
        assert page.count("<svg") == 1
        assert page.count("<tr") <= 12
    assert "status: converged" in str(one)
    assert "more lines in .summary()" in str(many)


def test_axes_are_logarithmic_where_the_data_ask_for_it() -> None:
    wide, narrow = fit([1, 10, 100, 1000], [90, 20, 8, 5]), fit([10, 11, 12, 13], [0.5, 0.48, 0.47, 0.465])
    kinds = [{axis: chart.plot().to_dict()["layer"][0]["encoding"][axis]["scale"].get("type") for axis in "xy"} for chart in (wide, narrow)]
    assert kinds == [{"x": "log", "y": "log"}, {"x": None, "y": None}]


def test_charts_compose(table: pd.DataFrame) -> None:
    import altair as alt

    fits = fit(table, x="n_labels", y="err", by="backbone")
    both = fits["vit"].plot() | fits.plot()
    assert len(both.to_dict()["hconcat"]) == 2
    target = alt.Chart(pd.DataFrame({"y": [0.3]})).mark_rule().encode(y="y:Q")
    assert len((fits.plot() + target).to_dict()["layer"]) == len(fits.plot().to_dict()["layer"]) + 1


def test_the_law_is_drawn_dashed_beyond_the_data(table: pd.DataFrame) -> None:
    spec = fit(vit(table), x="n_labels", y="err").plot().to_dict()
    dashed = [layer for layer in spec["layer"] if layer["mark"].get("strokeDash") == [5, 4]]
    assert len(dashed) == 1
    x = [row["x"] for row in spec["datasets"][dashed[0]["data"]["name"]]]
    assert (min(x), max(x)) == (pytest.approx(3200, rel=0.05), pytest.approx(4 * 3200))


def test_labels_of_sizes_get_one_hue_with_more_darker() -> None:
    table = pd.DataFrame([(size, n, 0.2 + 3 / size * n**-0.5) for size in (1000, 10_000) for n in SIZES], columns=["images", "n", "err"])
    spec = fit(table, x="n", y="err", by="images").plot().to_dict()
    scale = next(layer["encoding"]["color"]["scale"] for layer in spec["layer"] if "scale" in layer["encoding"].get("color", {}))
    assert scale == {"domain": ["1,000", "10,000"], "range": ["#246eb7", "#003c73"]}


def test_names_of_near_lines_do_not_cover_one_another() -> None:
    table = pd.DataFrame([(name, n, 0.2 + a * n**-0.5) for name, a in (("a", 3.0), ("b", 3.01), ("c", 3.02), ("d", 5.0)) for n in SIZES])
    spec = fit(table, x="1", y="2", by="0").plot().to_dict()
    text = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "text")
    rows = pd.DataFrame(spec["datasets"][text["data"]["name"]]).set_index("series")
    drawn = pd.concat([pd.DataFrame(data) for data in spec["datasets"].values()])
    span = drawn[["y", "mean", "low", "high"]].max().max() - drawn[["y", "mean", "low", "high"]].min().min()
    pixels = np.diff(rows["place"].to_numpy()) * spec["height"] / span
    assert pixels.min() > 13
    assert rows.loc["d", "mean"] == pytest.approx(rows.loc["d", "place"], abs=0.1)
    assert abs(rows.loc["b", "place"] - rows.loc["b", "mean"]) < 0.01
