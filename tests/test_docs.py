"""The documents: the site builds, notebooks run, commands and names in the text exist."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted(ROOT.glob("docs/gallery/*.ipynb"))
MARKED_NOTEBOOKS = [
    pytest.param(path, marks=pytest.mark.slow) if path.stem == "comparing_optimizers" else path
    for path in NOTEBOOKS
]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True
    )


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="needs the extra docs")
    done = run("-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
    home = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "train without a learning rate" in home
    loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)', home)
    assert not loaded, "the site loads files from elsewhere"


@pytest.mark.parametrize("path", MARKED_NOTEBOOKS, ids=lambda path: getattr(path, "stem", None))
def test_a_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="needs the extra docs")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, 4)
    with_outputs = [bool(cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]
    assert any(with_outputs), "stored without outputs"
    nbclient.NotebookClient(
        notebook, timeout=280, resources={"metadata": {"path": str(path.parent)}}
    ).execute()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_of_the_repository(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#\s]+)", text):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link


def spans(page: str) -> set[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return set(re.findall(r"`([^`\s]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)))


@pytest.mark.parametrize("name", sorted(spans("docs/tour.md")))
def test_what_the_tour_names_exists(name: str) -> None:
    if re.match(r"(sls|experiments|config|docs|tests)/", name):
        assert (ROOT / name).exists()
    elif re.match(r"(sls|experiments)\.", name):
        assert find(name) is not None


def find(name: str) -> Any:
    """The module, class, function or attribute of a dotted name."""
    found: Any = None
    for part in name.split("."):
        if found is None:
            found = importlib.import_module(part)
        elif isinstance(found, ModuleType) and not hasattr(found, part):
            found = importlib.import_module(f"{found.__name__}.{part}")
        else:
            found = getattr(found, part)
    return found


def commands(*pages: str) -> list[str]:
    """The commands of `main.py` in the pages that are complete as they stand."""
    lines = [line for page in pages for line in (ROOT / page).read_text().splitlines()]
    found = [line.partition("#")[0].strip() for line in lines if line.startswith("python main.py")]
    return sorted({line for line in found if "…" not in line and "--" not in line})


@pytest.mark.parametrize("command", commands("README.md", "docs/harness.md"))
def test_a_command_is_understood(command: str) -> None:
    done = run(*shlex.split(command)[1:], "--print-config")
    assert done.returncode == 0, done.stderr


def test_committed_results_are_reports_configs_and_plans() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "results"], cwd=ROOT, capture_output=True, text=True
    )
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    if not files:
        pytest.skip("no git checkout")
    sizes = {"replication": 0, "replication_profile": 0, "others": 0}
    for file in files:
        folder = file.relative_to(ROOT / "results").parts[0]
        sizes[folder if folder in sizes else "others"] += file.stat().st_size
    assert max(sizes.values()) < 3_000_000, sizes
    assert not [file for file in files if file.name in ("metrics.jsonl", ".lock", "curves.png")]
