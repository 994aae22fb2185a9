"""A report is written whatever the files of a folder hold, and whoever writes beside it."""

from __future__ import annotations

import csv
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.cli.commands import command
from experiments.errors import UserError
from experiments.report.build import compose, write_report
from experiments.report.read.runs import read_results
from experiments.report.write.csv import runs_csv
from experiments.report.write.render import to_html, to_latex, to_markdown
from experiments.sweep.status import known_runs
from tests.experiments.report.folders import write_plan, write_run

FILES = ("config.yaml", "env.json", "plan.json", "summary.json", "failure.json", "metrics.jsonl")
# As a text in each file may be.
DEEP = 300_000
HOSTILE = st.sampled_from(
    ["", "=1+1", "\ud800", "\x00", "\x1b[2J", "$x_", "{{ x }}", "<b>", "\\input{x}", "n" * 300]
)
NUMBERS = st.sampled_from(
    [0, -1, 2**31, 10**400, 1e308, -1e308, 5e-324, float("nan"), float("inf"), True]
)
ANYTHING = st.one_of(st.none(), NUMBERS, HOSTILE, st.just([]), st.just([[]]), st.just({"a": {}}))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sweep with tuning, and a plan."""
    root = tmp_path_factory.mktemp("results")
    adam = [write_run(root, seed=seed) for seed in (0, 1)]
    alsals = [write_run(root, optimizer="alsals"), write_run(root, optimizer="alsals", seed=1)]
    write_run(root, hold_out=0.1)
    cells = [("adam", adam), ("alsals", alsals)]
    write_plan(
        root,
        [
            {"row": "mrpc_bert", "label": label, "seeds": [0, 1], "folders": folders}
            for label, folders in cells
        ],
    )
    return root


def as_texts(folder: Path) -> None:
    """Read all, and make every text of a report without its pictures; look at all states."""
    results = read_results(folder)
    document = compose(results)
    left_out = [warning for warning in document.warnings if "cannot be made" in warning]
    assert not left_out, left_out
    texts = (to_markdown(document, pictures="p"), to_html(document), to_latex(document))
    for text in (*texts, runs_csv(results)):
        text.encode()
    try:
        runs = known_runs(folder)
    except UserError as error:
        assert "is no plan of a sweep" in str(error)  # noqa: PT017
        return
    for run in runs:
        run.now()


def leaves(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all values within a value, itself included."""
    items = value.items() if isinstance(value, dict) else []
    items = enumerate(value) if isinstance(value, list) else items
    return [place, *(leaf for key, item in items for leaf in leaves(item, (*place, key)))]


def replaced(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = replaced(value[place[0]], place[1:], new)
    return copy


def damaged(data: st.DataObject, original: str) -> bytes:
    """The lines of a JSON file with one value, or some bytes, replaced."""
    lines = original.splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    if data.draw(st.booleans()):
        value = json.loads(lines[number])
        place = data.draw(st.sampled_from(leaves(value)))
        new = data.draw(ANYTHING)
        lines[number] = json.dumps(replaced(value, place, new))
        return "\n".join([*lines, ""]).encode()
    line = lines[number].encode()
    start = data.draw(st.integers(0, len(line)))
    new_bytes = data.draw(st.binary(max_size=6))
    lines_of_bytes = [one.encode() for one in lines]
    lines_of_bytes[number] = line[:start] + new_bytes + line[start + len(new_bytes) :]
    return b"\n".join([*lines_of_bytes, b""])


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.report.build.DRAWING", {})


def target_of(root: Path, name: str) -> Path:
    if name == "plans":
        return root / "plans" / "text.json"
    return next(root.glob("mrpc_bert/*/adam/s1-*/config.yaml")).parent / name


def json_text(path: Path) -> str:
    """The file as lines of JSON, which config.yaml may be too."""
    if path.suffix == ".yaml":
        import yaml

        return json.dumps(yaml.safe_load(path.read_text()))
    if not path.exists():
        return json.dumps(
            {"exit_code": 1, "attempts": 1, "reason": "a", "output": ["b"], "steps": 1}
        )
    return path.read_text()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), name=st.sampled_from([*FILES, "plans"]))
def test_whatever_a_file_holds_all_texts_of_the_report_are_made(
    sweep: Path, without_figures: None, data: st.DataObject, name: str
) -> None:
    path = target_of(sweep, name)
    before = path.read_bytes() if path.exists() else None
    try:
        path.write_bytes(damaged(data, json_text(path)))
        as_texts(sweep)
    finally:
        path.unlink()
        if before is not None:
            path.write_bytes(before)


@pytest.mark.parametrize("name", [*FILES, "plans"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_in_a_files_place_is_not_waited_for(
    tmp_path: Path, without_figures: None, name: str, make: Callable[[Path], None]
) -> None:
    write_plan(
        tmp_path,
        [{"row": "mrpc_bert", "label": "adam", "seeds": [1], "folders": [write_run(tmp_path)]}],
    )
    write_run(tmp_path, seed=1)
    path = target_of(tmp_path, name)
    path.unlink(missing_ok=True)
    make(path)
    as_texts(tmp_path)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_values_within_values_without_end_end_no_process(
    tmp_path: Path, without_figures: None, opening: str, closing: str
) -> None:
    folder = write_run(tmp_path)
    row = '{"event": "step", "step": 9, "forward_passes": 9, "backward_passes": 9, "x": '
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(f"{row}{opening * DEEP}0{closing * DEEP}}}\n")
    as_texts(tmp_path)
    assert len(read_results(tmp_path).runs[0].steps) == 4


def test_a_part_that_cannot_be_made_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise OverflowError("too large")

    monkeypatch.setattr("experiments.report.numbers.scores.loss_table", broken)
    monkeypatch.setattr("experiments.report.build.DRAWING", {"training": broken})
    write_run(tmp_path)
    document = compose(read_results(tmp_path))
    assert document.warnings == (
        "the figures training cannot be made and is left out (OverflowError: too large).",
        "“Results” cannot be made and is left out (OverflowError: too large).",
    )
    assert [section.key for section in document.sections][:2] == ["curves", "statistics"]


def test_names_of_folders_may_hold_bytes_that_are_no_text(
    tmp_path: Path, without_figures: None
) -> None:
    for status in ("finished", None):
        folder = write_run(tmp_path, seed=int(status is None), status=status)
        os.rename(folder, os.fsencode(folder) + b"\xff\xfe")
    report = write_report(tmp_path)
    for name in ("report.md", "report.html", "runs.csv"):
        assert "??" in (report / name).read_text(), name
    assert "U+DCFF" in (report / "tables.tex").read_text()


def test_labels_of_configs_with_endless_texts_stay_short_and_different(tmp_path: Path) -> None:
    for number in range(2):
        write_run(tmp_path, optimizer="alsals", settings={"note": "n" * 100_000 + str(number)})
    labels = {run.label for run in read_results(tmp_path).runs}
    assert len(labels) == 2
    assert max(map(len, labels)) < 400


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_no_text_of_the_csv_begins_as_a_formula(
    tmp_path: Path, without_figures: None, start: str
) -> None:
    text = f"{start}cmd|'calc'!A0"
    folder = write_run(tmp_path, optimizer=text, kind="alsals")
    summary = json.loads((folder / "summary.json").read_text())
    summary |= {text: text, "listed": [text], "seconds_training": -1.5}
    (folder / "summary.json").write_text(json.dumps(summary))
    head, row = csv.reader(runs_csv(read_results(tmp_path)).splitlines())
    assert not [cell for cell in [*head, *row] if cell[:1] == start and cell != "-1.5"]
    assert row[head.index("seconds_training")] == "-1.5", "numbers are left as they are"
    assert row[head.index("label")] == f"'{text}"


# ----------------------------------------------------------------------- where a report is written


def test_a_report_elsewhere_leaves_the_results_alone(
    tmp_path: Path, without_figures: None, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    write_run(results)
    before = sorted(results.rglob("*"))
    for arguments in (["--output", str(tmp_path / "a" / "b")], [f"--output={tmp_path}/c"]):
        assert command(["report", str(results), *arguments]) == 0
    assert sorted(results.rglob("*")) == before
    assert (tmp_path / "a" / "b" / "report.html").exists()
    assert (tmp_path / "c" / "runs.csv").exists()
    assert capsys.readouterr().out.splitlines()[0] == f"report: {tmp_path}/a/b/report.html"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--output"], "--output: expected one argument"),
        (["--output="], "--output: needs a folder"),
        (["--output=a", "--output=b"], "given twice"),
        (["--outptu=a"], "did you mean '--output'"),
    ],
)
def test_a_wrong_output_is_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["report", "results", *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_report_without_a_place_is_one_line_that_names_the_way_out(
    tmp_path: Path, without_figures: None, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path)
    (tmp_path / "report").touch()
    assert command(["report", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"error: the report cannot be written: {tmp_path}/report: Not a directory; "
        "--output PATH writes it elsewhere\n"
    )


def test_a_report_that_cannot_be_finished_leaves_the_one_before(
    tmp_path: Path, without_figures: None
) -> None:
    write_run(tmp_path)
    report = write_report(tmp_path)
    before = {name: (report / name).read_bytes() for name in ("report.md", "report.html")}
    (report / "runs.csv").unlink()
    (report / "runs.csv").mkdir()
    write_run(tmp_path, seed=1)
    with pytest.raises(UserError, match=r"runs\.csv: Is a directory"):
        write_report(tmp_path)
    assert {name: (report / name).read_bytes() for name in before} == before
    assert not list(report.glob(".*")), "no temporary file stays"


def test_reports_at_the_same_time_are_all_whole(tmp_path: Path, without_figures: None) -> None:
    write_run(tmp_path)
    failures: list[Exception] = []

    def write() -> None:
        try:
            for _ in range(3):
                write_report(tmp_path)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert not list((tmp_path / "report").glob(".*"))
