"""Fills the page's template, or a user's own that extends it; errors name its line."""

from __future__ import annotations

import html
import re
import traceback
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import jinja2

from reports.errors import ReportError

OPTION: Final = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
BUILT_IN = "report.html.j2"
"""The name by which a template of one's own extends the built-in one."""


def fill(template: Path | None, **values: Any) -> str:
    """The template with its values; None for the built-in one.

    A template of one's own usually starts with `{% extends "report.html.j2" %}` and overrides named
    blocks; docs/reports.md lists them.

    Raises:
        ReportError: if the file cannot be read, is no Jinja template, or asks for a value that the
            page does not have.
    """
    own = str(template) if template is not None else None

    def source_of(name: str) -> tuple[str, str, None] | None:
        if name == own and template is not None:
            return _read(template), name, None
        if name == BUILT_IN:
            return files("reports").joinpath("templates", name).read_text(encoding="utf-8"), name, None
        return None

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(source_of), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["options"] = options_as_code
    if template is None:
        # An error in our own template is a defect, and keeps its traceback.
        return environment.get_template(BUILT_IN).render(**values)
    try:
        return environment.get_template(str(template)).render(**values)
    except jinja2.TemplateSyntaxError as error:
        raise ReportError(f"{error.filename or template}, line {error.lineno}: {_phrase(error)}; correct the template.") from error
    except jinja2.TemplateNotFound as error:
        raise ReportError(f"{_place(template, error)}: there is no template {error.name!r}; one's own can extend {BUILT_IN!r} alone.") from error
    except ReportError:
        raise
    except Exception as error:  # a template can raise whatever its expressions do
        raise ReportError(f"{_place(template, error)}: {_phrase(error)}; docs/reports.md lists what a template is given.") from error


class _Markup(str):
    """Text that is HTML already."""

    def __html__(self) -> str:
        return str(self)


def options_as_code(text: str) -> str:
    """Text with each option of a command line, such as --seed, as code, which no line breaks."""
    return _Markup(OPTION.sub(r"<code>\g<0></code>", html.escape(text)))


def _read(template: Path) -> str:
    if template.exists() and not template.is_file():
        raise ReportError(f"The template {template} is no regular file; name a Jinja2 file with --template.")
    try:
        return template.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ReportError(f"The template {template} is not UTF-8 text ({error.reason}); save it as UTF-8.") from error
    except OSError as error:
        raise ReportError(f"The template {template} cannot be read ({error.strerror}); name a Jinja2 file with --template.") from error


def _place(template: Path, error: Exception) -> str:
    """'mine.j2, line 3': the innermost line of the reader's own file that was being filled in."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(template)]
    return f"{template}, line {lines[-1]}" if lines else str(template)


def _phrase(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__
