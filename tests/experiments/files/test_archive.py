"""Ended runs in one file: what comes back, what is left out, and archives that are no archives."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.cli.commands import command
from experiments.errors import BusyError, UserError
from experiments.files.archive import NAME, pack, unpack
from experiments.files.run_folder import RunFolder, find_runs
from experiments.report.build import write_report
from tests.experiments.report.folders import write_run


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two ended runs, one of them diverged, one in `tuning`, and one that goes on."""
    root = tmp_path / "results"
    for seed, status in enumerate(("finished", "diverged", None)):
        write_run(root, seed=seed, status=status, scores=[0.5] * 40)
    write_run(root, hold_out=0.1)
    return root


def moved(results: Path, to: Path) -> Path:
    """Another folder that has only the archive."""
    to.mkdir()
    return Path(shutil.copy(results / NAME, to)).parent


def test_ended_runs_come_back(results: Path, tmp_path: Path) -> None:
    assert pack(results) == (results / NAME, 3)
    other = moved(results, tmp_path / "other")
    assert unpack(other) == 3
    for run in [*find_runs(other), *find_runs(other / "tuning")]:
        there, here = RunFolder(results / run.relative_to(other)), RunFolder(run)
        assert here.summary() == there.summary()
        assert here.config() == there.config()
        assert here.env_file.read_bytes() == there.env_file.read_bytes()


def test_a_report_of_what_came_back_has_the_same_numbers(results: Path, tmp_path: Path) -> None:
    shutil.rmtree(find_runs(results)[2])  # the one that goes on
    pack(results)
    other = moved(results, tmp_path / "other")
    unpack(other)
    (other / NAME).unlink()
    texts = [(write_report(root) / "runs.csv").read_text() for root in (results, other)]
    assert texts[0] == texts[1]


def test_all_evaluations_and_a_tenth_of_the_steps_are_kept(results: Path, tmp_path: Path) -> None:
    pack(results)
    other = moved(results, tmp_path / "other")
    unpack(other)
    rows = RunFolder(find_runs(other)[0]).rows()
    steps = [row["step"] for row in rows if row["event"] == "step"]
    assert steps == [*range(1, 21), 30, 40, 50, 60, 70, 80]
    assert sum(row["event"] == "evaluation" for row in rows) == 40


def test_the_last_step_is_kept(tmp_path: Path) -> None:
    run = RunFolder(write_run(tmp_path, scores=[0.5] * 11 + [0.6]))
    pack(tmp_path)
    last = run.rows()[-2]
    run.summary_file.unlink()
    unpack(tmp_path)
    assert last in run.rows()
    assert last["step"] == 24


def test_a_run_that_has_ended_here_stays_as_it_is(results: Path) -> None:
    pack(results)
    before = [path.read_bytes() for path in sorted(results.rglob("metrics.jsonl"))]
    assert unpack(results) == 0
    assert [path.read_bytes() for path in sorted(results.rglob("metrics.jsonl"))] == before


def test_a_file_that_a_run_lacks_is_not_made_up(results: Path, tmp_path: Path) -> None:
    RunFolder(find_runs(results)[0]).env_file.unlink()
    pack(results)
    other = moved(results, tmp_path / "other")
    unpack(other)
    assert not RunFolder(find_runs(other)[0]).env_file.exists()


def test_a_run_that_another_process_makes_is_left_alone(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(results)
    run = RunFolder(find_runs(results)[0])
    run.summary_file.unlink()
    before = run.metrics_file.read_bytes()
    monkeypatch.setattr(RunFolder, "is_locked", lambda _: True)  # a process never sees its own lock
    with pytest.raises(BusyError, match="is in use by another process"):
        unpack(results)
    assert run.metrics_file.read_bytes() == before


def test_the_same_runs_are_the_same_bytes(results: Path) -> None:
    first = pack(results)[0].read_bytes()
    assert pack(results)[0].read_bytes() == first


def test_without_an_ended_run_nothing_is_written(tmp_path: Path) -> None:
    write_run(tmp_path, status=None)
    with pytest.raises(UserError, match="no run in there has ended"):
        pack(tmp_path)
    assert not (tmp_path / NAME).exists()


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def no_archive(path: Path) -> None:
    path.write_text("hello")


def archive_of(name: str, *, link: bool = False) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with tarfile.open(path, "w:xz") as archive:
            member = tarfile.TarInfo(name)
            if link:
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member, io.BytesIO())

    return make


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut, "is broken"),
        (no_archive, "is broken"),
        (Path.unlink, "No such file"),
        (archive_of("../a/b/s0-1/summary.json"), "is no file of a run"),
        (archive_of("/a/b/c/s0-1/summary.json"), "is no file of a run"),
        (archive_of("a/b/c/s0-1/best.pt"), "is no file of a run"),
        (archive_of("other/a/b/c/s0-1/summary.json"), "is no file of a run"),
        (archive_of("a/b/c/s0-1/summary.json", link=True), "is no file of a run"),
    ],
)
def test_what_is_no_archive_is_one_error_and_leaves_nothing(
    results: Path, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    pack(results)
    other = moved(results, tmp_path / "other")
    spoil(other / NAME)
    with pytest.raises(UserError, match=message):
        unpack(other)
    assert not list(other.rglob("summary.json"))


def test_the_commands(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["pack", str(results)]) == 0
    assert capsys.readouterr().out == f"{results / NAME}: 3 runs, 0.0 MB\n"
    other = moved(results, tmp_path / "other")
    assert command(["unpack", str(other)]) == 0
    assert capsys.readouterr().out == "3 runs unpacked\n"
    (other / NAME).unlink()
    assert command(["unpack", str(other)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {other / NAME}: No such file")
