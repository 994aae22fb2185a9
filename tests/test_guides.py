"""The steps of docs/add_an_optimizer.md and docs/add_a_task.md, followed literally."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE = re.compile(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("page", "written", "title"),
    [
        (
            "add_an_optimizer",
            {"experiments/optimizers/lion.py", "config/optimizer/lion.yaml"},
            "Lion",
        ),
        ("add_a_task", {"experiments/tasks/wine.py", "config/task/wine.yaml"}, "Wine"),
    ],
)
def test_a_newcomer_who_follows_the_page_sees_the_title_in_the_report(
    tmp_path: Path, page: str, written: set[str], title: str
) -> None:
    for folder in ("config", "experiments", "sls"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pyc*"))
    shutil.copy(ROOT / "main.py", tmp_path)
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    files = dict(FILE.findall(text))
    assert set(files) == written
    for name, content in files.items():
        assert not (tmp_path / name).exists()
        (tmp_path / name).write_text(content, encoding="utf-8")
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for command in "".join(COMMANDS.findall(text)).splitlines():
        python, *arguments = command.split()
        assert python == "python"
        subprocess.run([sys.executable, *arguments], cwd=tmp_path, env=environ, check=True)
    reports = [*tmp_path.glob("results/report/report.md")]
    assert [title in report.read_text(encoding="utf-8") for report in reports] == [True]
