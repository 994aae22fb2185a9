"""What a run writes down about its code."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from experiments.training.machine import _git_state


@pytest.fixture
def checkout(tmp_path):
    """A repository with a commit of code and of results."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("no git here")
    for name in ("code.py", "results/report/runs.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("committed\n")
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for arguments in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "Begin"]):
        subprocess.run([git, "-C", str(tmp_path), *arguments], check=True)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "dirty"),
    [(None, False), ("code.py", True), ("new.py", True), ("results/report/runs.csv", False)],
)
def test_changed_code_is_told_and_written_results_are_not(checkout, name, dirty):
    if name is not None:
        (checkout / name).write_text("changed\n")
    state = _git_state(checkout)
    assert len(state["commit"]) == 40
    assert state["dirty"] is dirty
