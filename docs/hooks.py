"""What building the site adds to the pages of docs/: figures made by the code that is shown, the
notebooks, the repository's own pages, and links that lead out of docs/.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File
from snippets import FENCE, Block, blocks_of, run_page, svg_of

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
BROUGHT = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "benchmarks/README.md": "measured.md"}
"""Pages that stand outside docs/, and what the site calls them."""
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts pages that `nav` does not name at its end, under More."""
    config.nav = with_all_pages(config.nav or [], {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")})
    return config


def with_all_pages(nav: list[Any], pages: set[str]) -> list[Any]:
    """The navigation, with those of the pages that it does not name in a last part."""
    missing = sorted(pages - set(re.findall(r"[\w/.-]+\.md", json.dumps(nav))))
    return [*nav, {"More": missing}] if missing else nav


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that stand outside docs/."""
    for source, name in BROUGHT.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=page_of_notebook(path.read_text(encoding="utf-8"), path.name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Draws the figures of a page, and turns its links to files outside docs/ to what the site has."""
    name = page.file.src_uri
    figures: dict[int, str] = {}
    blocks = blocks_of(markdown)
    if any("figure" in block.attributes for block in blocks):
        with tempfile.TemporaryDirectory() as folder:
            for ran in run_page(markdown, Path(folder), name=name):
                if "figure" in ran.block.attributes:
                    place = f"figures/{name.removesuffix('.md')}-{len(figures) + 1}.svg"
                    files.append(File.generated(config, place, content=svg_of(ran.value)))
                    figures[ran.block.span[0]] = posixpath.relpath(place, posixpath.dirname(name) or ".")
    parts, end = [], 0
    for block in blocks:
        parts += [_with_links(markdown[end : block.span[0]], name), _fence(block, figures.get(block.span[0]))]
        end = block.span[1]
    return "".join([*parts, _with_links(markdown[end:], name)])


def _fence(block: Block, figure: str | None) -> str:
    """A fence as Material reads it, with its figure or the reason why it is not run."""
    title = f' title="{block.attributes["file"]}"' if "file" in block.attributes else ""
    text = f"```{block.language or 'text'}{title}\n{block.body}```\n"
    if "not-run" in block.attributes:
        text += f"\n*Not run by the tests: {block.attributes['not-run']}.*\n"
    if figure is not None:
        text += f"\n![{block.attributes['figure']}]({figure})\n"
    return text


def _with_links(text: str, page: str) -> str:
    """The text with links that work on the site: a file that the site does not hold is named."""
    stands = {name: place for place, name in BROUGHT.items()}
    source = stands.get(page, page if page.startswith("notebooks/") else f"docs/{page}")

    def turned(match: re.Match[str]) -> str:
        target, hash_, anchor = match["target"].partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        of_repository = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if of_repository in BROUGHT:
            found = BROUGHT[of_repository]
        elif of_repository.startswith("notebooks/") and of_repository.endswith(".ipynb"):
            found = of_repository.removesuffix(".ipynb") + ".md"
        elif of_repository == "README.md":
            found = "index.md"
        elif of_repository.startswith("docs/"):
            found = of_repository.removeprefix("docs/")
        else:
            called = match["text"].strip("`")
            return f"`{called}`" if called == of_repository else f"{match['text']} (`{of_repository}`)"
        return f"[{match['text']}]({posixpath.relpath(found, posixpath.dirname(page) or '.')}{hash_}{anchor})"

    return LINK.sub(turned, text)


def page_of_notebook(text: str, file_name: str) -> str:
    """A notebook as a page: its text, its code, and what that printed and drew."""
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += [_output(one) for one in cell.get("outputs", ())]
    parts.append(f"*This page is the notebook `notebooks/{file_name}` of the repository; a test runs it.*")
    return "\n\n".join(part for part in parts if part) + "\n"


def _output(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return f"```text\n{''.join(output['text']).rstrip()}\n```"
    data = output.get("data", {})
    if "text/html" in data:
        # one line without indentation, which Markdown hands on as it is
        return "<div class='result'>" + re.sub(r"\n\s*", "", "".join(data["text/html"])) + "</div>"
    if "image/svg+xml" in data:
        return "<div class='result'>" + re.sub(r"\n\s*", "", "".join(data["image/svg+xml"])) + "</div>"
    return f"```text\n{''.join(data.get('text/plain', ''))}\n```"


def on_post_build(config: MkDocsConfig) -> None:
    """Holds the site to what it promises: no page asks another machine for a script or a style."""
    for path in Path(config.site_dir).rglob("*.html"):
        asked = re.findall(r'<(?:script|link)[^>]+(?:src|href)="(https?://[^"]+)"', path.read_text(encoding="utf-8"))
        asked = [url for url in asked if "rel=canonical" not in url and url != config.site_url]
        if asked:
            raise SystemExit(f"{os.path.relpath(path, config.site_dir)} asks another machine for {asked[0]}.")


__all__ = ["FENCE", "on_config", "on_files", "on_page_markdown", "on_post_build", "page_of_notebook"]
