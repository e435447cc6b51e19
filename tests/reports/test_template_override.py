"""A template of one's own: it overrides named blocks, and what is wrong with it is one sentence
with its line.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.errors import ReportError
from reports.page import Page, Section, make_table, render
from tests.reports.page_reader import Reader

PAGE = Page(kicker="Kicker", title="A & B", lead="Lead", sections=(Section(identity="one", heading="Section one"),))
EXTENDS = '{% extends "report.html.j2" %}\n'


def filled(tmp_path: Path, text: str) -> str:
    file = tmp_path / "mine.html.j2"
    file.write_text(text, encoding="utf-8")
    return render(PAGE, file)


def test_a_template_that_only_extends_gives_the_same_page(tmp_path: Path) -> None:
    assert filled(tmp_path, EXTENDS) == render(PAGE)


@pytest.mark.parametrize("block", ["title", "style", "header", "findings", "contents", "sections", "footer"])
def test_each_named_block_can_be_replaced(block: str, tmp_path: Path) -> None:
    assert "of the house XYZ" not in render(PAGE)
    assert "of the house XYZ" in filled(tmp_path, f"{EXTENDS}{{% block {block} %}}of the house XYZ{{% endblock %}}")


def test_a_block_knows_the_page_and_escapes_it(tmp_path: Path) -> None:
    page = Reader(filled(tmp_path, EXTENDS + "{% block header %}<h1>{{ page.title }}</h1>{{ super() }}{% endblock %}"))
    assert page.count("h1") == 2
    assert "A & B" in page.text


def test_the_macros_of_the_page_can_be_used(tmp_path: Path) -> None:
    import pandas as pd

    file = tmp_path / "mine.html.j2"
    file.write_text(EXTENDS + "{% block section %}{% for data in section.tables %}{{ table(data) }}{% endfor %}{% endblock %}", encoding="utf-8")
    data = make_table(pd.DataFrame({"a": [1]}), caption="T", file_name="t.csv")
    page = Page(kicker="", title="S", lead="", sections=(Section(identity="one", heading="Gone", tables=(data,)),))
    text = Reader(render(page, file)).text
    assert "Download t.csv" in text
    assert text.count("Gone") == 1  # in the contents alone


def test_a_script_of_ones_own_is_not_let_through_by_the_policy(tmp_path: Path) -> None:
    page = Reader(filled(tmp_path, EXTENDS + "{% block footer %}<script>alert(1)</script>{% endblock %}"))
    assert "unsafe-inline" not in page.attributes("content")[0].partition("script-src")[2].partition(";")[0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (EXTENDS + "{% block header %}\n{{ page.titel }}{% endblock %}", r"mine\.html\.j2, line 3: .*no attribute 'titel'"),
        (EXTENDS + "{% block header %}\n", r"mine\.html\.j2, line \d: Unexpected end of template"),
        (EXTENDS + "{% block header %}{{ 1 / 0 }}{% endblock %}", r"mine\.html\.j2, line 2: division by zero"),
        ('\n{% extends "other.j2" %}', r"mine\.html\.j2, line 2: there is no template 'other\.j2'; one's own can extend 'report\.html\.j2' alone"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=sentence) as raised:
        filled(tmp_path, text)
    assert "\n" not in str(raised.value)


def test_a_template_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"cannot be read \(No such file or directory\); name a Jinja2 file with --template"):
        render(PAGE, tmp_path / "none.j2")
    (tmp_path / "latin.j2").write_bytes(b"\xe4")
    with pytest.raises(ReportError, match="is not UTF-8 text"):
        render(PAGE, tmp_path / "latin.j2")
