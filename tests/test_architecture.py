"""Imports go one way: the table of docs/architecture.md, read off the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# What each room may import of this project; `x.*` is any file of the folder x.
MAY_IMPORT: dict[str, set[str]] = {
    "main": {"experiments.cli", "experiments.stopping"},
    "run_multiple": {"experiments.stopping", "experiments.sweep_cli"},
    "run_multiple_img": {"experiments.stopping", "experiments.sweep_cli"},
    "experiments.__main__": {"experiments.commands", "experiments.stopping"},
    "experiments.cli": {
        "experiments.command_line",
        "experiments.config",
        "experiments.config_files",
        "experiments.errors",
        "experiments.run",
        "experiments.stopping",
    },
    "experiments.commands": {
        "experiments.command_line",
        "experiments.config",
        "experiments.errors",
        "experiments.landscape",
        "experiments.landscape_request",
        "experiments.prefetch",
        "experiments.report.*",
        "experiments.stopping",
        "experiments.sweep.*",
    },
    "experiments.sweep_cli": {
        "experiments.command_line",
        "experiments.config_files",
        "experiments.errors",
        "experiments.sweep.*",
    },
    "experiments.command_line": {
        "experiments.errors",
        "experiments.stopping",
        "experiments.streams",
    },
    "experiments.prefetch": {"experiments.schema", "experiments.tasks.*"},
    "experiments.run": {
        "experiments.assembly",
        "experiments.config",
        "experiments.machine",
        "experiments.origin",
        "experiments.run_folder",
        "experiments.schema",
        "experiments.loggers.*",
        "experiments.report.*",
        "experiments.training.*",
    },
    "experiments.origin": {
        "experiments.errors",
        "experiments.run_folder",
        "experiments.training.fingerprint",
    },
    "experiments.landscape": {
        "experiments.assembly",
        "experiments.atomic_files",
        "experiments.config",
        "experiments.landscape_request",
        "experiments.looking",
        "experiments.run_folder",
        "experiments.loggers.*",
        "experiments.report.*",
        "experiments.training.*",
    },
    "experiments.looking": {
        "experiments.report.landscape",
        "experiments.training.*",
        "sls",
        "sls.conditions",
        "sls.replay",
    },
    "experiments.landscape_request": {
        "experiments.arguments",
        "experiments.config_files",
        "experiments.errors",
        "experiments.run_folder",
        "experiments.schema",
        "experiments.home",
    },
    "experiments.assembly": {
        "experiments.machine",
        "experiments.optimizers",
        "experiments.schema",
        "experiments.tasks.*",
        "experiments.training.*",
    },
    "experiments.tasks.*": {
        "experiments.tasks.*",
        "experiments.data.*",
        "experiments.models.*",
        "experiments.schema",
        "experiments.errors",
        "experiments.home",
    },
    "experiments.training.*": {
        "experiments.training.*",
        "experiments.tasks.base",
        "experiments.data.base",
        "experiments.data.contents",
        "experiments.atomic_files",
        "experiments.run_folder",
        "experiments.stopping",
        "experiments.errors",
    },
    "experiments.loggers.*": {"experiments.loggers.*", "experiments.run_folder"},
    "experiments.report.*": {
        "experiments.report.*",
        "experiments.tuning_rule",
        "experiments.atomic_files",
        "experiments.command_line",
        "experiments.run_folder",
        "experiments.stored",
        "experiments.stored_shapes",
        "experiments.errors",
        "experiments.home",
    },
    "experiments.sweep.*": {
        "experiments.arguments",
        "experiments.sweep.*",
        "experiments.tuning_rule",
        "experiments.atomic_files",
        "experiments.command_line",
        "experiments.config",
        "experiments.config_faults",
        "experiments.config_files",
        "experiments.errors",
        "experiments.run_folder",
        "experiments.schema",
        "experiments.home",
        "experiments.stored",
        "experiments.stored_shapes",
    },
    "experiments.sweep.launchers.*": {
        "experiments.sweep.job",
        "experiments.sweep.launchers.*",
        "experiments.sweep.process",
        "experiments.sweep.schema",
        "experiments.errors",
    },
    "experiments.sweep.conduct": {
        "experiments.sweep.*",
        "experiments.command_line",
        "experiments.errors",
        "experiments.report.build",
        "experiments.run_folder",
        "experiments.stopping",
    },
    "experiments.optimizers": {
        "experiments.peers.build",
        "experiments.schema",
        "experiments.errors",
        "sls",
        "sls.settings",
    },
    "experiments.peers.*": {
        "experiments.peers.*",
        "experiments.errors",
        "experiments.schema",
    },
    "experiments.machine": {"experiments.errors", "sls"},
    "experiments.config": {
        "experiments.arguments",
        "experiments.config_faults",
        "experiments.config_files",
        "experiments.errors",
        "experiments.schema",
        "experiments.home",
    },
    "experiments.arguments": {
        "experiments.config_faults",
        "experiments.config_files",
        "experiments.schema",
    },
    "experiments.config_faults": {"experiments.errors", "experiments.schema"},
    "experiments.config_files": {"experiments.errors"},
    "experiments.data.*": {
        "experiments.data.*",
        "experiments.atomic_files",
        "experiments.errors",
        "experiments.network",
    },
    "experiments.models.*": {"experiments.models.*", "experiments.errors", "experiments.network"},
    "experiments.home": {"experiments.errors"},
    "experiments.schema": {"experiments.home"},
    "experiments.run_folder": {
        "experiments.atomic_files",
        "experiments.errors",
        "experiments.stored",
        "experiments.stored_shapes",
    },
    "experiments.atomic_files": {"experiments.errors"},
    "experiments.stored": {"experiments.atomic_files", "experiments.errors"},
    "experiments.stored_shapes": {"experiments.tuning_rule"},
    "experiments.streams": set(),
    "experiments.errors": set(),
    "experiments.stopping": set(),
    "experiments.network": set(),
    "experiments.tuning_rule": set(),
    "sls.*": {"sls.*"},
}
WITHOUT_TORCH = [
    "experiments.arguments",
    "experiments.atomic_files",
    "experiments.stored",
    "experiments.stored_shapes",
    "experiments.streams",
    "experiments.cli",
    "experiments.command_line",
    "experiments.commands",
    "experiments.config",
    "experiments.config_faults",
    "experiments.config_files",
    "experiments.errors",
    "experiments.home",
    "experiments.landscape_request",
    "experiments.network",
    "experiments.report.*",
    "experiments.run_folder",
    "experiments.schema",
    "experiments.stopping",
    "experiments.sweep.*",
    "experiments.sweep_cli",
    "sls.conditions",
    "sls.record",
    "sls.search",
    "sls.settings",
    "sls.step_sizes",
    "experiments.tuning_rule",
]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {
    module_name(path): path
    for path in [*ROOT.glob("*.py"), *ROOT.glob("sls/*.py"), *ROOT.glob("experiments/**/*.py")]
}


def imports(module: str) -> Iterator[str]:
    """The modules that a file imports, late imports included, those for types only left out."""
    tree = ast.parse(SOURCES[module].read_text())
    for node in ast.walk(tree):
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


def room_of(module: str) -> str:
    fitting = [room for room in MAY_IMPORT if matches(module, room)]
    return max(fitting, key=len) if fitting else ""


@pytest.mark.parametrize("module", [m for m in SOURCES if m != "experiments"])
def test_every_file_belongs_to_a_room_and_imports_only_what_it_may(module: str) -> None:
    room = room_of(module)
    assert room, f"{module} is in no room of the table"
    for name in filter(is_ours, imports(module)):
        allowed = any(matches(name, pattern) for pattern in MAY_IMPORT[room])
        assert allowed, f"{module} ({room}) may not import {name}"


def test_no_two_files_import_each_other() -> None:
    graph = {module: {n for n in imports(module) if n in SOURCES} for module in SOURCES}

    def reaches(start: str, goal: str, seen: set[str]) -> bool:
        for following in graph[start] - seen:
            seen.add(following)
            if following == goal or reaches(following, goal, seen):
                return True
        return False

    in_circles = [module for module in SOURCES if reaches(module, module, set())]
    assert not in_circles


def test_the_package_needs_nothing_but_torch() -> None:
    allowed = {"sls", "torch", "__future__"}
    for module in (m for m in SOURCES if matches(m, "sls.*")):
        others = {name.split(".")[0] for name in imports(module)} - allowed
        assert others <= set(__import__("sys").stdlib_module_names), f"{module}: {others}"


@pytest.mark.parametrize("room", WITHOUT_TORCH)
def test_rooms_that_do_without_torch(room: str) -> None:
    files = [module for module in SOURCES if matches(module, room)]
    assert files, f"there is no {room}"
    for module in files:
        heavy = {n for n in imports(module) if n.split(".")[0] in ("torch", "transformers")}
        assert not heavy, f"{module} imports {heavy}"


def test_the_package_prints_and_logs_nothing() -> None:
    for module in (m for m in SOURCES if matches(m, "sls.*")):
        names = {
            n.id
            for n in ast.walk(ast.parse(SOURCES[module].read_text()))
            if isinstance(n, ast.Name)
        }
        assert not names & {"print", "logging", "open"}, module
