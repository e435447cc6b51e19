"""Mean effect of a treatment over cells, by a linear mixed model of the paired differences.

Shared stages, seeds and cells are random effects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.fitting.inputs import checked_level
from analysis.formatting import format_setting, p_value, percent
from analysis.significance.component_levels import ComponentLevels
from analysis.significance.paired_effects import PairedEffects
from analysis.significance.reml import Reml, fit_reml
from analysis.student import t_p_value, t_quantile

Labels = NDArray[np.int64]
NONE = float("nan")


@dataclass(frozen=True, kw_only=True)
class Component:
    """One source of spread among the differences."""

    name: str
    """What shares it, such as 'seed'; 'single pair' is the rest."""
    levels: int
    """How many of them there are."""
    variance: float
    """Restricted maximum likelihood estimate, zero or above, in the square of the outcome's unit."""
    sd: float
    """Its root, in the outcome's unit."""


@dataclass(frozen=True, kw_only=True)
class MixedEffect:
    """Mean effect of one treatment over all cells. Make one with `analysis.mixed_effect`."""

    subject: str
    """The treatment, as a sentence begins."""
    outcome: str
    """The column that is compared, in its own unit."""
    outcome_title: str
    """What sentences call it."""
    treatment: object
    """The factor's value that was tested."""
    cells: str
    """'random': the mean over cells like these; 'fixed': the mean over exactly these cells."""
    seeds: str
    """'random', or 'cancel' where a seed was assumed to add the same to both runs of a pair."""
    level: float
    """Nominal coverage of the interval."""
    estimate: float
    """Mean difference, treatment - baseline."""
    low: float
    """Lower end of the interval; NaN where there is none."""
    high: float
    """Upper end of the interval."""
    p: float
    """Two-sided p of no effect."""
    standard_error: float
    """Of the estimate."""
    degrees_of_freedom: float
    """Satterthwaite's."""
    n_pairs: int
    """Paired differences."""
    n_cells: int
    """Level combinations of `by` among them."""
    components: tuple[Component, ...]
    """The sources of spread, the single pair last; empty where there is no spread."""
    log_likelihood: float
    """Restricted log-likelihood at the estimate."""
    note: str
    """What qualifies the result, or why there is no interval; may be empty."""

    def sentence(self) -> str:
        """The result in a sentence."""
        outcome = self.outcome_title
        over = f"over cells like these {self.n_cells}" if self.cells == "random" else f"over these {self.n_cells} cells"
        claim = f"{self.subject} changes {outcome} by {self.estimate:+z.3f} on average {over}"
        note = f"; {self.note}" if self.note else ""
        if np.isnan(self.low):
            return f"{claim} (no interval{note.replace(';', ':', 1)})"
        interval = f"{percent(self.level)} interval {self.low:+z.3f} to {self.high:+z.3f}"
        return f"{claim} ({interval}, {p_value(self.p)}, mixed model of {self.n_pairs} pairs, {self.degrees_of_freedom:.1f} degrees of freedom{note})"


def mixed_effect(
    effects: PairedEffects,
    *,
    treatment: Any = None,
    cells: Literal["random", "fixed"] = "random",
    seeds: Literal["random", "cancel"] = "random",
    level: float | None = None,
) -> MixedEffect:
    """Mean effect of one treatment over cells, by REML of d = mean + cell + seed + shared stages +
    pair.

    Interval and p are Student's with Satterthwaite's degrees of freedom (Biometrics Bulletin 2,
    1946). Cells are the combinations of values of `effects.by`; a baseline run that stands in several
    pairs is a component too. A shared component that is estimated as zero still counts in the
    standard error and in its degrees of freedom, which keeps the error rate (see `reml`); that of
    cells does not. In a balanced grid with cells fixed and seeds random this is exactly the paired
    t over seeds. With three seeds that has two degrees of freedom, and no valid test has more
    unless something is assumed: `seeds='cancel'` assumes that a seed adds the same to both runs of
    a pair, so that each pre-training or intermediate stage is a draw of its own. If that is false
    the error rate is far too high (measured in benchmarks/statistics/effects.py), so a seed
    component that shows in the data is named in the note.

    A component that the data cannot tell apart from others is joined with them, and the note says
    so; one that all pairs share, or that goes with the cells when those are fixed, makes the result
    conditional on it. Raises AnalysisError for an unknown treatment or option.
    """
    treatment = _checked(effects, treatment, cells, seeds)
    level = effects.level if level is None else level
    checked_level(level)
    pairs = effects.pairs[effects.pairs["treatment"] == treatment].reset_index(drop=True)
    y = pairs["difference"].to_numpy(dtype=np.float64)
    cell = pairs.groupby(list(effects.by), dropna=False, sort=False).ngroup().to_numpy() if effects.by else np.zeros(len(pairs), dtype=np.int64)
    n_cells = int(cell.max()) + 1
    fixed = (cell[:, None] == np.arange(n_cells)).astype(np.float64) if cells == "fixed" else np.ones((len(y), 1))
    contrast = np.full(fixed.shape[1], 1.0 / fixed.shape[1])
    sources = _sources(pairs, seeds)
    kept, notes = _identifiable(sources | ({"cell": cell} if cells == "random" else {}), fixed)
    estimate = float(contrast @ np.linalg.lstsq(fixed, y, rcond=None)[0])
    low = high = p = error = degrees = likelihood = NONE
    components: tuple[Component, ...] = ()
    why = _no_spread(y, fixed)
    if why:
        notes = [why]
    else:
        fit = fit_reml(y, fixed, list(kept.values()))
        estimate, likelihood = float(contrast @ fit.coefficients), fit.log_likelihood
        # A shared component that is estimated as zero stays uncertain; otherwise three seeds would
        # count as seventy independent pairs.
        counted = (fit.variances > 0.0) | np.array([*map(_is_shared, kept), True])
        degrees = min(fit.degrees_of_freedom(contrast, counted), float(len(y) - fixed.shape[1]))
        error = fit.freed_standard_error(contrast, counted)
        if np.isnan(error):
            error = fit.standard_error(contrast)
            notes.append("the unbounded variance of the mean was below zero, so that with variances held at zero is used")
        half = t_quantile(level, degrees) * error
        low, high, p = estimate - half, estimate + half, t_p_value(estimate / error, degrees)
        components = _components(kept, fit, len(y))
        notes += _seed_note(y, fixed, kept, fit, pairs) if seeds == "cancel" else []
    return MixedEffect(
        subject=effects.subject(treatment),
        outcome=effects.outcome,
        outcome_title=effects.outcome_title,
        treatment=treatment,
        cells=cells,
        seeds=seeds,
        level=level,
        estimate=estimate,
        low=low,
        high=high,
        p=p,
        standard_error=error,
        degrees_of_freedom=degrees,
        n_pairs=len(y),
        n_cells=n_cells,
        components=components,
        log_likelihood=likelihood,
        note="; ".join(notes),
    )


def _checked(effects: PairedEffects, treatment: Any, cells: str, seeds: str) -> Any:
    for name, given, known in (("cells", cells, ("random", "fixed")), ("seeds", seeds, ("random", "cancel"))):
        if given not in known:
            raise AnalysisError(f"{name} = '{given}' is unknown: give '{known[0]}' or '{known[1]}'.")
    there = ", ".join(map(format_setting, effects.treatments))
    if treatment is None:
        if len(effects.treatments) > 1:
            raise AnalysisError(f"these effects have {len(effects.treatments)} treatments ({there}): name one in treatment=.")
        return effects.treatments[0]
    if not (effects.pairs["treatment"] == treatment).any():
        raise AnalysisError(f"no pair has treatment {format_setting(treatment)}: there are {there}.")
    return treatment


def _sources(pairs: pd.DataFrame, seeds: str) -> dict[str, Labels]:
    """Level of each pair in each shared source, -1 where it has none.

    Sources are the seed, the stages of either side, and the baseline run.
    """
    found: dict[str, Labels] = {}
    if "seed" in pairs.columns and seeds == "random":
        found["seed"] = pd.factorize(pairs["seed"])[0].astype(np.int64)
    for stage, column, trunk in (("intermediate stage", "intermediate_id", ""), ("pre-training", "pretrain_id", "trunk_id")):
        for side in ("treatment", "baseline"):
            ids = pairs.get(f"{side}_{trunk}") if trunk else None  # a trunk's branches are one pre-training
            own = pairs.get(f"{side}_{column}")
            if own is not None and ids is not None:
                ids = ids.where(ids.notna(), own)
            ids = own if ids is None else ids
            if ids is not None and ids.notna().any():
                found[stage if side == "treatment" else f"baseline's {stage}"] = pd.factorize(ids)[0].astype(np.int64)
    found["baseline run"] = pd.factorize(pairs["baseline_row"])[0].astype(np.int64)
    return found


def _is_shared(name: str) -> bool:
    return name not in ("cell", "baseline run")


def _identifiable(sources: dict[str, Labels], fixed: NDArray[np.float64]) -> tuple[dict[str, Labels], list[str]]:
    """The components that the design can estimate, and notes on the others.

    A component counts if its covariance matrix, after the fixed effects are projected out, is no
    combination of those kept before it.
    """
    n = len(fixed)
    left, singular, _ = np.linalg.svd(fixed, full_matrices=False)
    q = left[:, singular > 1e-12 * singular[0]]
    # Only lengths and angles of covariance matrices, taken as vectors, are needed; they follow from
    # counts by level without an n x n matrix.
    levels = {name: ComponentLevels.of(label, q) for name, label in sources.items()}
    noise = float(n - q.shape[1]) ** 0.5  # length of the projection itself, the covariance of a single pair
    kept: dict[str, Labels] = {}
    held: list[tuple[ComponentLevels, float]] = []
    notes = []
    for name, label in sources.items():
        twin = next((other for other in kept if _same(kept[other], label)), None)
        if twin is not None:
            # one partition under two names: keep the one that acts on more pairs
            better = label if (label >= 0).sum() > (kept[twin] >= 0).sum() else kept[twin]
            kept = {(f"{one} and {name}" if one == twin else one): (better if one == twin else old) for one, old in kept.items()}
            continue
        own = levels[name]
        size = max(own.inner(own), 0.0) ** 0.5
        if size < 1e-6 * n**0.5:
            count = int(label.max()) + 1
            if name not in ("cell", "baseline run"):
                notes.append(f"conditional on this one {name}" if count == 1 else f"conditional on these {count} levels of {name}")
            continue
        sized = [*held, (own, size)]
        gram = np.array([[one.inner(other) / (a * b) for other, b in sized] for one, a in sized])
        if n > fixed.shape[1]:
            edge = np.array([one.trace / (a * noise) for one, a in sized])
            gram = np.block([[np.ones((1, 1)), edge[None]], [edge[:, None], gram]])
        rest = gram[-1, -1] - gram[-1, :-1] @ np.linalg.solve(gram[:-1, :-1], gram[:-1, -1]) if len(gram) > 1 else 1.0
        if rest < 1e-9:
            if len(np.unique(label[label >= 0])) < n or name == "cell":
                notes.append(f"{name} cannot be separated from {' and '.join(kept) or 'the single pair'}")
            continue
        held.append((own, size))
        kept[name] = label
    return kept, notes


def _same(one: Labels, other: Labels) -> bool:
    """True if two groupings agree where both act, and one acts wherever the other does."""
    both = (one >= 0) & (other >= 0)
    if both.sum() < min((one >= 0).sum(), (other >= 0).sum()) or not both.any():
        return False
    return bool(np.array_equal(pd.factorize(one[both])[0], pd.factorize(other[both])[0]))


def _no_spread(y: NDArray[np.float64], fixed: NDArray[np.float64]) -> str:
    if len(y) == 1:
        return "a single pair, which has no spread"
    if len(y) <= fixed.shape[1]:
        return "each cell has a single pair, so nothing shows the spread within these cells"
    residual = y - fixed @ np.linalg.lstsq(fixed, y, rcond=None)[0]
    if float(np.max(np.abs(residual))) <= 1e-12 * float(np.max(np.abs(y), initial=0.0)) or not residual.any():
        return f"all {len(y)} differences are the same{' within their cell' if fixed.shape[1] > 1 else ''}, so their spread says nothing"
    return ""


def _components(kept: dict[str, Labels], fit: Reml, n: int) -> tuple[Component, ...]:
    counts = [int(one.max()) + 1 for one in kept.values()] + [n]
    values = zip([*kept, "single pair"], counts, fit.variances.tolist(), strict=True)
    return tuple(Component(name=name, levels=count, variance=value, sd=value**0.5) for name, count, value in values)


def _seed_note(y: NDArray[np.float64], fixed: NDArray[np.float64], kept: dict[str, Labels], fit: Reml, pairs: pd.DataFrame) -> list[str]:
    """A note on whether seeds cancel, by a likelihood ratio test of one variance at its bound.

    Self and Liang 1987.
    """
    if "seed" not in pairs.columns:
        return []
    with_seed, _ = _identifiable({"seed": pd.factorize(pairs["seed"])[0].astype(np.int64)} | kept, fixed)
    if len(with_seed) == len(kept):
        return ["seeds cannot be separated from the stages, so nothing was gained by assuming that they cancel"]
    from scipy.special import chdtrc

    fuller = fit_reml(y, fixed, list(with_seed.values()))
    p = 0.5 * float(chdtrc(1.0, max(2.0 * (fuller.log_likelihood - fit.log_likelihood), 0.0)))
    count = pairs["seed"].nunique()
    if p < 0.1:
        return [f"assumes that seeds cancel, which the {count} seeds speak against ({p_value(p)}): use seeds='random'"]
    return [f"assumes that seeds cancel; the {count} seeds do not show otherwise ({p_value(p)}), and could hardly"]
