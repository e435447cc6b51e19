"""The page of a published table: the claims and their verdicts, then the figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from analysis.published.load import Published, load_published
from analysis.runs.columns import column_of
from reports.findings import ask, card_of
from reports.first_screen import first_screen
from reports.overview import settings_phrase
from reports.page import Fact, Page, Screen, Section
from reports.published.cells import cell_sections
from reports.published.runs import run_sections
from reports.registry import compose_sections
from reports.report import write_page
from reports.score import named_score
from reports.theme import count
from reports.wording import joined


def build_published(name: str, out: str | Path | None = None) -> Path:
    """Write the report of a published table, by default as NAME.html into the current folder, and
    return where it was written.

    Raises:
        AnalysisError: for a name that is not published.
        ReportError: if the file cannot be written.
    """
    page = compose_published(load_published(name))
    return write_page(page, Path(out) if out is not None else Path(f"{name}.html"))


def compose_published(published: Published) -> Page:
    """The page: the claims that somebody makes first, with their verdicts; then every test, and the
    figures.
    """
    answer = replace(ask(published), shown_elsewhere=tuple(published.notes))
    claimed = [one for one in answer.findings or () if one.source]
    score = named_score(column_of(published.table, published.outcome))
    seeds = int(published.table["seed"].nunique()) if "seed" in published.table.columns else 0
    strip = [Fact(term=count(len(published.table)), text="means of runs" if published.kind == "cells" else "runs")]
    strip += [Fact(term=count(seeds), text="seed" if seeds == 1 else "seeds")] if seeds else []
    screen = Screen(
        about=published.source,
        strip=(*strip, Fact(term="", text="published results")),
        links=(("Data (CSV)", "#cells" if published.kind == "cells" else "#runs"), ("Methods", "#about"), ("All tests", "#claims")),
    )
    screen = first_screen(published, score, answer, screen)
    remarks = [answer.reason] if answer.findings is None else []
    figures = cell_sections(published) if published.kind == "cells" else run_sections(published)
    about = Section(
        identity="about",
        heading="About these numbers",
        paragraphs=(
            lead_of(published),
            f"From {published.source}.",
            *(note.replace("`", "") for note in published.notes),
            "This page was made from the published table alone, which ships with analysis.",
        ),
        listings=(("Rebuild this page", f"python -m reports.build --published {published.name}"),),
    )
    return Page(
        kicker="Report on published results",
        title=published.title,
        lead=lead_of(published),
        findings=tuple(card_of(one) for one in claimed),
        remarks=tuple(remark for remark in remarks if remark),
        facts=(Fact(term="Source", text=published.source), Fact(term="What one must know", text=" ".join(published.notes).replace("`", ""))),
        # What the paper claims is what its reader asks first.
        sections=(*(replace(one, folded=False) if one.identity == "claims" else one for one in compose_sections(answer)), *figures, about),
        screen=screen,
    )


def lead_of(published: Published) -> str:
    """What the table holds, in one sentence made from it."""
    table, score = published.table, named_score(column_of(published.table, published.outcome)).title
    if published.kind == "cells":
        runs = joined([count(number) for number in sorted(table["n_runs"].unique())])
        return f"Mean {score} of {count(len(table))} cells of {runs} runs: {settings_phrase(table)}."
    sizes = sorted(table["pretrain_images"].unique())
    encoders = table.sort_values("encoder_params")["encoder"].drop_duplicates()
    lengths = table.sort_values("pretrain_steps")["pretrain_length"].drop_duplicates()
    return (
        f"{score[0].upper()}{score[1:]} of {count(len(table))} runs: {count(len(encoders))} encoders ({encoders.iloc[0]} to {encoders.iloc[-1]}), "
        f"pre-trained on {joined([count(size) for size in sizes])} images for {joined([str(length) for length in lengths])}, "
        f"and fine-tuned on {joined([count(size) for size in sorted(table['finetune_images'].unique())])} images of "
        f"{joined(sorted(table['finetune_source'].unique()))}."
    )
