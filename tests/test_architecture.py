"""What import-linter's contracts in pyproject.toml cannot say of imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

WITHOUT_TORCH = [
    "experiments.cli.*",
    "experiments.config.*",
    "experiments.errors",
    "experiments.files.*",
    "experiments.landscape.command",
    "experiments.network",
    "experiments.report.*",
    "experiments.settings",
    "experiments.stopping",
    "experiments.streams",
    "experiments.sweep.*",
    "experiments.tuning",
    "sls.conditions",
    "sls.search",
    "sls.settings",
    "sls.step_sizes",
]

TORCH_INSIDE_FUNCTIONS_ONLY = ["experiments.models.settings", "experiments.optimizers.*"]
TORCH_INSIDE_FUNCTIONS_ONLY += [
    f"experiments.tasks.{name}"
    for name in ("base", "build", "glue", "images", "language", "places", "tables")
]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {
    module_name(path): path
    for path in [*ROOT.glob("*.py"), *ROOT.glob("sls/*.py"), *ROOT.glob("experiments/**/*.py")]
}


def imports(module: str, *, late: bool = True) -> Iterator[str]:
    """The modules that a file imports, by default also inside functions and for types only."""
    tree = ast.parse(SOURCES[module].read_text())
    for node in ast.walk(tree) if late else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in SOURCES else str(node.module)


def is_ours(name: str) -> bool:
    return name.split(".")[0] in ("sls", "experiments", "main")


def matches(name: str, pattern: str) -> bool:
    if pattern.endswith(".*"):
        return name == pattern[:-2] or name.startswith(pattern[:-1])
    return name == pattern


OPTIONAL = {"sls.plotting": {"matplotlib"}, "sls.suggestion": {"matplotlib"}}
"""What a module of the package imports when it is called."""


def test_the_package_needs_nothing_but_torch() -> None:
    for module in (m for m in SOURCES if matches(m, "sls.*")):
        allowed = {"sls", "torch", "__future__", *OPTIONAL.get(module, ())}
        others = {name.split(".")[0] for name in imports(module)} - allowed
        assert others <= set(sys.stdlib_module_names), f"{module}: {others}"


@pytest.mark.parametrize("room", [*WITHOUT_TORCH, *TORCH_INSIDE_FUNCTIONS_ONLY])
def test_rooms_that_do_without_torch(room: str) -> None:
    files = [module for module in SOURCES if matches(module, room)]
    assert files, f"there is no {room}"
    for module in files:
        names = imports(module, late=room in WITHOUT_TORCH)
        heavy = {name for name in names if name.split(".")[0] in ("torch", "transformers")}
        assert not heavy, f"{module} imports {heavy}"


def test_configs_and_reports_do_without_torch() -> None:
    code = "import sys, experiments.sweep.plan, experiments.report.build; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert not {b"torch", b"transformers", b"sklearn"} & set(run.stdout.split())


def test_the_package_prints_and_logs_nothing() -> None:
    for module in (m for m in SOURCES if matches(m, "sls.*")):
        names = {
            n.id
            for n in ast.walk(ast.parse(SOURCES[module].read_text()))
            if isinstance(n, ast.Name)
        }
        assert not names & {"print", "logging", "open"}, module


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_no_large_file_is_tracked() -> None:
    """Wheels once slipped in with `git add`; every clone pays for them for ever."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    files = (ROOT / name for name in listed.split("\0") if name)
    large = [file.name for file in files if file.exists() and file.stat().st_size > 1_500_000]
    assert large == []
