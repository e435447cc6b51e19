"""Claims about what more pre-training data are worth with longer training and to bigger models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.claims.claim_table import ClaimTable
from analysis.claims.data import ARXIV, TOPIC
from analysis.claims.finding import Finding, Question, estimate_of
from analysis.claims.headline import Wording, turned
from analysis.claims.rules import for_one, format_estimate
from analysis.claims.wording import cleaned
from analysis.data_size import data_interaction
from analysis.errors import AnalysisError
from analysis.factorial.axes import axes_of


def _of_worth(context: str, study: ClaimTable) -> Wording:
    """The wording of how the value of data changes with longer training or to bigger models."""
    more, less = (f"more data are worth {word} {context}" for word in ("more", "less"))
    return turned(Wording(up=more, down=less, whether=more, negligible=f"what more data are worth {context} changes", number="at"), study.better)


def interaction_findings(study: ClaimTable) -> list[Finding]:
    """Tests that more data are worth more with longer training, and to bigger models.

    By a regression on logs; where the grid is too small for one, by whether the effect of the most
    against the fewest images differs between the ends of the other axis. Raises AnalysisError where
    neither can be had.
    """
    try:
        found = data_interaction(study.table, outcome=study.outcome, level=study.level)
    except AnalysisError:
        made = _crossed(study)
        if not made:
            raise
        return made
    table = found.table.set_index("term")
    made = []
    for term, context in (("data x length", "with longer training"), ("data x params", "to bigger models")):
        if term not in table.index:
            continue
        row: Any = table.loc[term]
        estimate = estimate_of(
            row,
            "estimate",
            what=f"change of the value of a doubling of data {context}",
            level=found.level,
            unit=f"{study.outcome_name} per doubling",
        )
        p = float(row["p_holm"])
        sentence = (
            f"The value of a doubling of data changes by {format_estimate(estimate, p, places=5)} {context} (regression on logs with all "
            f"interactions "
            f"and squares; {found.n} runs, {found.clusters} {found.cluster} clusters; p after Holm)"
        )
        made.append(
            Finding(
                identity=f"data-worth-more-{context.split()[-1]}",
                topic=TOPIC,
                source=ARXIV,
                generic=True,
                wording=_of_worth(context, study),
                claim=f"More data are worth more {context}.",
                verdict=for_one(float(row["estimate"]), p, study.better),
                sentence=cleaned(sentence),
                estimate=estimate,
                p=p,
                p_adjusted=np.nan,
                test="no interaction, after Holm over the interactions with data",
                n=f"{found.n} runs, {found.clusters} {found.cluster} clusters",
                reading="; ".join(note.rstrip(".") for note in found.confounded),
            )
        )
    if not made:
        raise AnalysisError("neither lengths nor models vary, so no interaction with data can be tested: run a second one.")
    return made


def _crossed(study: ClaimTable) -> list[Finding]:
    """The interactions of images with length and with model, from the main effects of the study."""
    made: list[Finding] = []
    table = study.effects.interactions if study.effects is not None else pd.DataFrame()
    for by, context in (("pretrain_length", "with longer training"), ("encoder", "to bigger models")):
        rows = [row for _, row in table.iterrows() if {row["axis"], row["by"]} == {"pretrain_images", by}]
        sized = [axis for axis in axes_of(study.table) if axis.column in ("pretrain_images", by) and axis.sizes is not None]
        if not rows or len(sized) < 2:
            continue
        row: Any = rows[0]  # the difference of differences is the same whichever axis comes first
        what = f"change of the effect of the most against the fewest images {context}"
        estimate = estimate_of(row, "difference", what=what, level=study.level, unit=study.outcome_name)
        p = float(row["p"])
        note = f"; {row['note']}" if row["note"] else ""
        made.append(
            Finding(
                identity=f"data-worth-more-{context.split()[-1]}",
                topic=TOPIC,
                source=ARXIV,
                generic=True,
                wording=_of_worth(context, study),
                claim=f"More data are worth more {context}.",
                verdict=for_one(estimate.value, p, study.better),
                sentence=cleaned(
                    f"What the most images add over the fewest changes by {format_estimate(estimate, p, places=4)} {context} "
                    f"(the lowest against the highest level, all else equal){note}"
                ),
                estimate=estimate,
                p=p,
                p_adjusted=np.nan,
                test="no interaction, two-sided t over seeds",
                n=f"{len(study.table)} runs",
                reading=str(row["note"]),
            )
        )
    return made


QUESTIONS = (Question("Is more data worth more with longer training and to bigger models?", interaction_findings, without_intermediate=True),)
