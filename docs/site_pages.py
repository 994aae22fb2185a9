"""Pages of the site whose source is not a Markdown file below docs/: a hook of mkdocs.

The README is the home page; CONTRIBUTING.md, the reports below results/ and the tables of
benchmarks/results/ are pages, and a
notebook of the gallery becomes Markdown with its stored outputs. So each text has one source.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
ANSI_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and pictures that lie outside docs/, and the notebooks as Markdown."""

    def add(uri: str, content: str | bytes) -> None:
        files.append(File.generated(config, uri, content=content))

    add("index.md", (ROOT / "README.md").read_text(encoding="utf-8"))
    add("contributing.md", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    reports = [*ROOT.glob("results/*/report/*.md"), *ROOT.glob("results/*/report/pictures/*")]
    measured = [path for end in ("md", "png") for path in ROOT.glob(f"benchmarks/results/*.{end}")]
    for path in [*reports, *measured]:
        add(path.relative_to(ROOT).as_posix(), path.read_bytes())
    for path in sorted(ROOT.glob("docs/gallery/*.ipynb")):
        add(f"gallery/{path.stem}.md", notebook_markdown(path, add))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links as they are right in the repository become links of the site."""
    markdown = re.sub(r"(\]\([^)\s]+)\.ipynb", r"\1.md", markdown)
    if page.file.src_uri in ("index.md", "contributing.md"):  # their sources lie above docs/
        return markdown.replace("](docs/", "](").replace("](CONTRIBUTING.md", "](contributing.md")
    return re.sub(r"\]\(\.\./(results|benchmarks)/", r"](\1/", markdown)


def notebook_markdown(path: Path, add: Any) -> str:
    """A notebook's cells and stored outputs; `add` gets the pictures, beside the page."""
    parts = []
    for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(fenced(source, "python"))
        for place, output in enumerate(cell["outputs"]):
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{path.stem}-{number}-{place}.png"
                add(f"gallery/{name}", base64.b64decode(data["image/png"]))
                parts.append(f"![Output of the cell above]({name})")
            else:
                text = "".join(output.get("text") or data.get("text/plain") or output["traceback"])
                parts.append(fenced(ANSI_COLOURS.sub("", text).rstrip(), "text"))
    notebook = f"docs/gallery/{path.name}"
    return "\n\n".join([*parts, f"*This page is the notebook `{notebook}`.*"]) + "\n"


def fenced(text: str, language: str) -> str:
    """A block of code."""
    return f"```{language}\n{text}\n```"
