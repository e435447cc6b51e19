"""Claims from a fitted law: what pre-training is worth in labels, and whether the error has a
floor.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.claims.claim_table import ClaimTable
from analysis.claims.finding import Estimate, Finding, Question, Verdict
from analysis.claims.headline import Wording
from analysis.claims.returns import TOPIC
from analysis.claims.wording import cleaned
from analysis.errors import AnalysisError
from analysis.fitting.surface import SurfaceFit, fit_surface
from analysis.formatting import percent

LAW, SECOND_LAW = "effective_data", "multiplicative"
FEWEST_CELLS = 10  # for six parameters
BOOTSTRAP = 200


def law_findings(study: ClaimTable) -> list[Finding]:
    """Tests by the law of effective data transferred that the worth of pre-training in labels grows
    less than in proportion; reports the floor of the error.

    One law for error = 1 - outcome over pre-training images P and labels F: E + A (F + k P^alpha
    F^beta)^-b. The floor lies beyond all data and is reported, with that of a second law
    (`multiplicative`), but never decided. Raises AnalysisError where the grid is too small or mixes
    settings. Source: Hernandez et al. 2021, arXiv:2102.01293, eq. 1.
    """
    first, second = (surface(study, law) for law in (LAW, SECOND_LAW))
    return [_worth(study, first), _floor(study, first, second)]


def _worth(study: ClaimTable, fitted: SurfaceFit) -> Finding:
    low, high = _interval(fitted, "alpha")
    alpha = Estimate(
        what="exponent alpha of pre-training images in their worth in labels", value=fitted.params["alpha"], low=low, high=high, level=fitted.level
    )
    verdict: Verdict = "open" if fitted.status != "converged" else "supported" if high < 1.0 else "refuted" if low > 1.0 else "open"
    deviation = "" if fitted.residual_sd is None else f", residual SD {100 * fitted.residual_sd:.1f}% of the error"
    sentence = (
        f"By the law of effective data, what pre-training is worth in labels grows as a power of its images, with exponent {alpha.value:.2f} "
        f"({percent(fitted.level)} interval {low:.2f} to {high:.2f}): twice the images are worth {2**alpha.value:.2f} times the labels "
        f"({2**low:.2f} to {2**high:.2f}; {_counted(study, fitted)}{deviation})"
    )
    if fitted.status != "converged":
        sentence = f"The law of effective data does not determine what pre-training is worth in labels: {fitted.status}: {fitted.status_detail}"
    return Finding(
        identity="worth-in-labels",
        topic=TOPIC,
        source="the law of Hernandez et al. 2021",
        generic=True,
        wording=Wording(
            up="twice the pre-training images are worth less than twice the labels",
            down="twice the pre-training images are worth less than twice the labels",
            whether="twice the pre-training images are worth less than twice the labels",
            against="twice the pre-training images are worth more than twice the labels",
            number="at",
            symbol="alpha",
        ),
        claim="What pre-training is worth in labels grows less than in proportion to its images (alpha < 1).",
        verdict=verdict,
        sentence=cleaned(sentence),
        estimate=alpha if fitted.status == "converged" else None,
        p=np.nan,
        p_adjusted=np.nan,
        n=_counted(study, fitted),
        reading=_taken(study),
    )


def _floor(study: ClaimTable, fitted: SurfaceFit, second: SurfaceFit) -> Finding:
    low, high = (max(end, 0.0) for end in _interval(fitted, "E"))  # no error is below 0
    return Finding(
        identity="floor",
        topic=TOPIC,
        source="",
        wording=Wording(
            up="the error has a floor",
            down="the error has no floor",
            whether="the error has a floor above zero",
            symbol="E",
        ),
        claim="The error has a floor above zero that neither more labels nor more pre-training passes.",
        # Never decided: on simulated data without a floor (bent or logarithmic) both laws found one
        # with certainty, because they can end in no other way.
        verdict="open",
        sentence=cleaned(
            f"If the law of effective data holds beyond these sizes, the floor of the error is {_of_floor(fitted)}; by the multiplicative law it "
            f"is {_of_floor(second)}. "
            f"A floor lies beyond all data, and laws of other shapes fit such data without one"
        ),
        estimate=Estimate(
            what="floor E of the error, by the law of effective data", value=max(fitted.params["E"], 0.0), low=low, high=high, level=fitted.level
        ),
        p=np.nan,
        p_adjusted=np.nan,
        n=_counted(study, fitted),
        reading=_taken(study),
    )


def _of_floor(fitted: SurfaceFit) -> str:
    """'0.22 (95% interval 0.15 to 0.28)'; 'not identified' where the data do not exclude none."""
    low, high = _interval(fitted, "E")
    if fitted.status == "converged" and low > 0.0:
        return f"{fitted.params['E']:.2f} ({percent(fitted.level)} interval {low:.2f} to {high:.2f})"
    most = f" (anything from none to {high:.2f}, {percent(fitted.level)} interval)" if high > 0.0 else ""
    return f"not identified{most}"


def _interval(fitted: SurfaceFit, name: str) -> tuple[float, float]:
    return fitted.intervals[name] or (float("nan"), float("nan"))


def _counted(study: ClaimTable, fitted: SurfaceFit) -> str:
    return f"{fitted.n} {'cell means' if study.kind == 'cells' else 'runs'} in {len(_plain(study))} cells"


def surface(study: ClaimTable, law: str = LAW) -> SurfaceFit:
    """Fits a law over all cells without an intermediate stage.

    Raises AnalysisError as `law_findings` does.
    """
    if "finetune_images" not in study.cells.columns:
        raise AnalysisError("the table has no column 'finetune_images': add the number of labels of every run.")
    plain = _plain(study)
    cells = study.cells.loc[plain]
    free = ("pretrain_images", "finetune_images", "finetune_steps", "pretrain_source", "pretrain_recipe", "pretrain_length")
    mixed = [name for name in cells.columns if name not in free and cells[name].nunique() > 1]
    mixed += [name for name in ("pretrain_source", "pretrain_recipe", "pretrain_length") if name in cells.columns and cells[name].nunique() > 1]
    if mixed:
        raise AnalysisError(f"one law cannot hold runs that differ in {', '.join(repr(name) for name in mixed)}: give the rows of one of them.")
    sizes, labels = (cells[name].nunique() for name in ("pretrain_images", "finetune_images"))
    if len(cells) < FEWEST_CELLS or sizes < 3 or labels < 3:
        raise AnalysisError(
            f"{len(cells)} cells of {sizes} pre-training sizes (scratch counted) and {labels} numbers of labels are too few for a law of six "
            f"parameters: it takes {FEWEST_CELLS} cells, three sizes and three numbers of labels."
        )
    rows = study.table.loc[np.isin(study.cell, plain)]
    error = study.errors(rows[study.outcome].to_numpy(dtype=float))
    groups = _groups(rows) if study.kind == "runs" else None
    inputs = rows[["pretrain_images", "finetune_images"]].to_numpy(dtype=float)
    # the floor is free: it lies beyond all data, and at zero it would leave the exponent without an
    # interval
    return fit_surface(inputs, error, law=law, level=study.level, cluster=groups, bootstrap=BOOTSTRAP, metric="any")


def _plain(study: ClaimTable) -> list[int]:
    return [int(cell) for cell in study.cells.index[study.cells["intermediate"] == "none"]]


def _groups(rows: pd.DataFrame) -> NDArray[np.object_] | None:
    """What the bootstrap draws: pre-trainings, and seeds of runs from scratch; None if the table
    names neither.
    """
    if "pretrain_id" not in rows.columns or "seed" not in rows.columns:
        return None
    scratch = "scratch, seed " + rows["seed"].astype("str")
    pretrainings = rows["pretrain_id"].astype("object")
    return pretrainings.where(pretrainings.notna(), scratch).to_numpy(dtype=object)


def _taken(study: ClaimTable) -> str:
    named = study.kind == "runs" and _groups(study.table) is not None
    drawn = "pre-trainings" if named else "runs" if study.kind == "runs" else "cells, weighted alike"
    return f"the interval is a bootstrap over {drawn}, and assumes that the law is correct"


QUESTIONS = (Question("What is pre-training worth in labels, and is there a floor?", law_findings, asks="own"),)
