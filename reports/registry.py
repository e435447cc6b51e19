"""The one registry of figures and sections. Each is registered once, in the module that makes it.

A figure of your own needs one module, named under the entry point group `scaling_laws.figures` of
its package:

    from reports.registry import FigureKind, register

    def best_run(evidence: Evidence) -> Figure | str:
        ...

    register(FigureKind(
        name="best-run", section="scores", place=50, title="Best run by labels",
        draws="the best score at each number of labels", needs=("miou",), build=best_run,
    ))

The page then shows it in its section, and `--figures` writes it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from typing import Any, Final

import pandas as pd

from analysis import AnalysisError
from reports.errors import ReportError
from reports.evidence import Evidence
from reports.page import Figure, Section
from reports.theme import FigureError
from reports.wording import joined, sentence

GROUP: Final = "scaling_laws.figures"
"""Entry point group whose modules register further figures and sections."""
LAST_PLACES: Final = 900
"""From here on stand the tables of runs, coverage and provenance."""
PACKAGES: Final = ("reports.figures", "reports.sections")
"""Packages whose modules register the figures and sections of the project itself."""


@dataclass(frozen=True, kw_only=True)
class FigureKind:
    """A figure that a page may have."""

    name: str
    """Its id on the page is `figure-NAME`."""
    section: str
    """Name of the section that shows it."""
    place: int
    """Figures of a section stand in ascending order of this."""
    title: str
    """What it is called in the captions that `--figures` writes."""
    draws: str
    """What it draws, a phrase."""
    build: Callable[[Any], Figure | str]
    """Makes it from the subject. A string is the reason why there is none, as a sentence; '' gives
    no reason.
    """
    subject: type = Evidence
    """What it is made from."""
    needs: tuple[str, ...] = ()
    """Fields of the subject that must not be None, or columns of its runs that must hold a value."""


@dataclass(frozen=True, kw_only=True)
class SectionKind:
    """A section that a page may have."""

    name: str
    """Its id on the page."""
    heading: str
    place: int
    """Sections stand in ascending order of this."""
    subject: type = Evidence
    """What it is made from."""
    empty: str = ""
    """Why it has no figure, where no figure gave a reason: a sentence."""
    optional: bool = False
    """Whether it is left out where it has no figure."""
    folded: bool = False
    """Whether it stands closed until a reader opens it."""
    instead_of: str = ""
    """Name of a section that is left out where this one is there."""
    finish: Callable[[Any, Section], Section | None] | None = None
    """Adds paragraphs, tables and pictures to the section with its figures; None leaves it out."""


_figures: dict[tuple[type, str], FigureKind] = {}
_sections: dict[tuple[type, str], SectionKind] = {}
_loaded: list[str] = []


def register(kind: FigureKind | SectionKind) -> None:
    """Add a figure or a section. Registering an equal one again does nothing.

    Raises:
        ReportError: if another one has that name.
    """
    known: dict[tuple[type, str], Any] = _figures if isinstance(kind, FigureKind) else _sections
    key = kind.subject, kind.name
    if known.setdefault(key, kind) != kind:
        what = "figure" if isinstance(kind, FigureKind) else "section"
        raise ReportError(f"There is already a {what} named {kind.name!r}: register yours under another name.")


def figure_kinds() -> tuple[FigureKind, ...]:
    """Every figure that is registered."""
    _load()
    return tuple(_figures.values())


def section_kinds() -> tuple[SectionKind, ...]:
    """Every section that is registered, in the order of the page."""
    _load()
    return tuple(sorted(_sections.values(), key=lambda kind: kind.place))


def compose_sections(*subjects: object) -> tuple[Section, ...]:
    """The sections of a page, in order: those that are made from one of the subjects.

    Raises:
        ReportError: if a registered figure names a section that is not there, or a plug-in cannot
            be imported.
    """
    _load()
    for one in _figures.values():
        if (one.subject, one.section) not in _sections:
            names = ", ".join(name for subject, name in _sections if subject is one.subject)
            raise ReportError(f"The figure {one.name!r} names the section {one.section!r}, which is not there; its choices are {names}.")
    by_type = {type(subject): subject for subject in subjects}
    made = [compose_section(kind.name, by_type[kind.subject]) for kind in section_kinds() if kind.subject in by_type]
    there = [section for section in made if section is not None]
    replaced = {kind.instead_of for kind in section_kinds() if kind.name in {section.identity for section in there}}
    return with_reasons_apart([section for section in there if section.identity not in replaced])


def with_reasons_apart(sections: Sequence[Section]) -> tuple[Section, ...]:
    """The sections that show something; the others as one folded section that says why they are
    not there, before the tables of runs.
    """
    empty = [one for one in sections if not (one.topics or one.questions or one.figures or one.galleries or one.tables or one.listings)]
    empty = [one for one in empty if one.paragraphs]
    shown = [one for one in sections if one not in empty]
    if not empty:
        return tuple(shown)
    reasons = Section(
        identity="not-shown",
        heading="What is not shown, and why",
        folded=True,
        summary=joined([one.heading for one in empty]),
        questions=tuple((one.heading, " ".join(one.paragraphs)) for one in empty),
    )
    places = {kind.name: kind.place for kind in _sections.values()}
    at = next((number for number, one in enumerate(shown) if places.get(one.identity, 0) >= LAST_PLACES), len(shown))
    return (*shown[:at], reasons, *shown[at:])


def compose_section(name: str, subject: object) -> Section | None:
    """One section with its figures; None where there is nothing to show.

    Raises:
        ReportError: as `compose_sections`.
    """
    _load()
    kind = _sections[type(subject), name]
    own = sorted((one for one in _figures.values() if (one.subject, one.section) == (kind.subject, name)), key=lambda one: one.place)
    made = [_made(one, subject) for one in own]
    figures = tuple(one for one in made if isinstance(one, Figure))
    reasons = tuple(dict.fromkeys(one for one in made if isinstance(one, str) and one))
    if kind.optional and not figures:
        return None
    if own and not figures:
        reasons = (" ".join(reasons or (kind.empty,)),)
    section = Section(identity=name, heading=kind.heading, paragraphs=reasons, figures=figures, folded=kind.folded)
    return section if kind.finish is None else kind.finish(subject, section)


def _made(kind: FigureKind, subject: Any) -> Figure | str:
    for need in kind.needs:
        reason = _lacks(subject, need)
        if reason:
            return sentence(reason)
    try:
        made = kind.build(subject)
    except (FigureError, AnalysisError) as error:  # one figure that cannot be drawn must not take the page with it
        return sentence(f"The figure '{kind.title}' cannot be drawn: {error}")
    return made if isinstance(made, str) else replace(made, identity=f"figure-{kind.name}")


def _lacks(subject: Any, need: str) -> str:
    """Why the subject does not have what a figure needs; '' where it has."""
    if hasattr(subject, need):
        return "" if getattr(subject, need) is not None else str(getattr(subject, "reasons", {}).get(need, f"there is no {need}"))
    runs: pd.DataFrame = subject.runs
    if need in runs.columns and bool(runs[need].notna().any()):
        return ""
    return f"the runs have no {need.replace('_', ' ')}"


def _load() -> None:
    if _loaded:
        return
    _loaded.extend(PACKAGES)  # before importing: a module may read the registry
    for package in PACKAGES:
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            importlib.import_module(module.name)
    for point in entry_points(group=GROUP):
        try:
            point.load()
        except Exception as error:  # a plug-in's module can raise anything
            raise ReportError(
                f"The plug-in {point.value!r} (entry point {point.name!r} of {GROUP}) cannot be imported: "
                f"{type(error).__name__}: {error}. Mend or uninstall its package."
            ) from error
