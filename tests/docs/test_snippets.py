"""Every Python block of the README, of docs/ and of the kept studies runs, and prints what the page
says.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from docs.example_tables import ASSETS, TABLES
from docs.snippets import blocks_of, run_page, svg_of, tidy, with_outputs

ROOT = Path(__file__).resolve().parents[2]
FILES = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("studies/*/README.md")]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in FILES}
# the gallery is run where its figures are drawn, by building the site: tests/docs/test_site.py
PAGES = sorted(page for page, text in TEXTS.items() if any(block.runs for block in blocks_of(text)) and page != "docs/gallery.md")
MOST_NOT_RUN = 3


@pytest.mark.usefixtures("figures_restored")
@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run_and_print_what_it_says(page: str, tmp_path: Path) -> None:
    for ran in run_page(TEXTS[page], tmp_path, name=page):
        if ran.block.output is not None:
            assert tidy(ran.printed) == tidy(ran.block.output), f"{page}, line {ran.block.line}"
        if "figure" in ran.block.attributes:
            assert "</svg>" in svg_of(ran.value)


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    left = [(page, block) for page, text in TEXTS.items() for block in blocks_of(text) if block.language == "python" and not block.runs]
    assert len(left) <= MOST_NOT_RUN
    assert all(len(block.attributes["not-run"]) > 20 for _, block in left)


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_of_the_pages_are_those_that_their_command_writes(name: str) -> None:
    pd.testing.assert_frame_equal(TABLES[name](), pd.read_csv(ASSETS / name))


def test_the_grid_of_the_experimenter_is_that_of_the_quickstart() -> None:
    (shown,) = (block.body for block in blocks_of(TEXTS["docs/experimenter.md"]) if block.language == "yaml")
    grid = (ROOT / "grids" / "quickstart.yaml").read_text(encoding="utf-8")
    assert shown == "".join(line for line in grid.splitlines(keepends=True) if not line.startswith("#"))


PAGE = """
```python
x = 2
print(x)
```

```
3
```

```csv file="own.csv"
a
1
```

```python
from pathlib import Path
print(Path("own.csv").read_text(), x)
```
"""


def test_a_wrong_output_is_found_and_can_be_written_anew(tmp_path: Path) -> None:
    first, second = run_page(PAGE, tmp_path, name="page")
    assert (first.printed, first.block.output, first.block.line) == ("2\n", "3\n", 3)
    assert (second.printed, second.block.output) == ("a\n1\n 2\n", None)
    other = tmp_path / "other"
    other.mkdir()
    assert with_outputs(PAGE, other, name="page") == PAGE.replace("\n3\n", "\n2\n")


def test_an_error_names_the_line_of_the_page(tmp_path: Path) -> None:
    import traceback

    with pytest.raises(ZeroDivisionError) as caught:
        list(run_page("# Title\n\n```python\nx = 1\nx / 0\n```\n", tmp_path, name="page.md"))
    assert traceback.extract_tb(caught.value.__traceback__)[-1].lineno == 5


def test_a_command_that_fails_or_that_is_of_another_program_stops_the_page(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="page, line 2: only scaling-laws and python -m can be run, not 'rm'"):
        list(run_page("```sh\nrm x\n```\n", tmp_path, name="page"))
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ValueError, match=r"page, line 2: scaling-laws nothing ended with status 2"):
        list(run_page("```sh\nscaling-laws nothing\n```\n", other, name="page"))
