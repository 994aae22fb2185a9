"""`python -m experiments report <folder>`: the files, and what stops it."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.cli.commands import command
from experiments.errors import UserError
from experiments.report.build import compose, write_report
from experiments.report.read.runs import read_results
from tests.experiments.report.folders import write_plan, write_run


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Unfinished, of two versions, one file half written, one run diverged, one cell empty."""
    root = tmp_path / "results" / "text"
    root.mkdir(parents=True)
    adam = [write_run(root, seed=seed, commit="ab"[seed] * 40) for seed in (0, 1)]
    alsals = [
        write_run(root, optimizer="alsals", seed=0),
        write_run(root, optimizer="alsals", seed=1, status="diverged"),
        write_run(root, optimizer="alsals", seed=2, status=None),
    ]
    with (alsals[2] / "metrics.jsonl").open("a") as file:
        file.write('{"event"')
    write_run(root, hold_out=0.1)
    cells = {"adam": [*adam, None], "alsals": alsals, "sgd": [None] * 3}
    write_plan(
        root,
        [
            {"row": "mrpc_bert", "label": label, "seeds": [0, 1, 2], "folders": folders}
            for label, folders in cells.items()
        ],
    )
    return root


def test_the_files(sweep: Path) -> None:
    report = write_report(sweep)
    assert report == sweep / "report"
    files = {path.name for path in report.iterdir() if path.is_file()}
    assert files == {"report.md", "report.html", "tables.tex", "runs.csv"}
    assert "Final accuracy" in (report / "report.md").read_text()
    assert len((report / "runs.csv").read_text().splitlines()) == 1 + 6


def test_a_second_report_is_the_same_and_clears_its_own_old_pictures_only(sweep: Path) -> None:
    report = write_report(sweep)
    pictures = report / "pictures"
    (pictures / "mine.png").write_bytes(b"\x89PNG, but of somebody else")
    before = {path: path.read_bytes() for path in report.rglob("*") if path.is_file()}
    (pictures / "old.png").write_bytes(next(pictures.glob("t*.png")).read_bytes())
    write_report(sweep)
    after = {path: path.read_bytes() for path in report.rglob("*") if path.is_file()}
    assert after == before


def test_the_document_of_an_unfinished_sweep(sweep: Path) -> None:
    document = compose(read_results(sweep))
    assert document.title == "Report on text"
    assert document.summary[0] == (
        "Comparison: 3 runs finished, 1 diverged, 1 unfinished, 4 not started. "
        "Tuning: 1 run finished."
    )
    told = "\n".join(document.warnings)
    assert "only half written" in told
    assert "different versions of this code" in told
    sections = [section.key for section in document.sections]
    assert sections[0] == "curves"
    assert sections[-2:] == ["runs", "reproduce"]


def test_names_of_files_are_shown_once_and_kept_in_the_csv(sweep: Path) -> None:
    report = write_report(sweep)
    text, _, names = (report / "report.md").read_text().partition("### Names")
    text = text.partition("## Reproducing")[0]
    assert "mrpc\\_bert" not in text.replace("mrpc\\_bert/glue", "")
    for title, file in (("MRPC · BERT", "mrpc\\_bert"), ("ALSALS", "alsals"), ("SGD", "sgd")):
        assert any(title in line and f"| {file} |" in line for line in names.splitlines()), title
    assert ",mrpc_bert,alsals," in (report / "runs.csv").read_text()


@pytest.mark.parametrize(
    ("sweep_name", "command_line"),
    [
        ("text", "python run_multiple.py"),
        ("text_cpu", "python run_multiple.py --sweep cpu"),
        ("images", "python run_multiple_img.py"),
        ("images_cpu", "python run_multiple_img.py --sweep cpu"),
        ("my own", "python run_multiple.py --sweep 'my own'"),
    ],
)
def test_how_a_sweep_is_started_again(tmp_path: Path, sweep_name: str, command_line: str) -> None:
    cell = {"row": "mrpc_bert", "label": "adam", "seeds": [0], "folders": [write_run(tmp_path)]}
    write_plan(tmp_path, [cell], sweep=sweep_name)
    told = compose(read_results(tmp_path)).sections[-1].paragraphs
    assert told[0] == f"The sweep {sweep_name}: {command_line}"


def test_every_table_is_rectangular_and_has_its_own_key(sweep: Path) -> None:
    document = compose(read_results(sweep))
    tables = [table for section in document.sections for table in section.tables]
    assert len({table.key for table in tables}) == len(tables) > 8
    for table in tables:
        assert {len(row) for row in table.rows} <= {len(table.columns)}, table.key


def test_a_folder_with_nothing_but_unfinished_runs(tmp_path: Path) -> None:
    folder = write_run(tmp_path, status=None)
    (folder / "metrics.jsonl").unlink()
    report = write_report(tmp_path)
    assert "no finished Adam" in (report / "report.md").read_text()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: there is no such folder"):
        write_report(tmp_path / "nowhere")


def test_a_folder_without_runs_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no runs there: looked for <experiment>/<task>-<model>/"):
        write_report(tmp_path)
    assert not (tmp_path / "report").exists()


def test_the_folder_below_is_named(sweep: Path) -> None:
    with pytest.raises(UserError, match=r"did you mean .*results/text\?"):
        write_report(sweep.parent)


def test_a_folder_whose_only_run_cannot_be_read(tmp_path: Path) -> None:
    (write_run(tmp_path) / "config.yaml").write_text("a: [")
    with pytest.raises(UserError, match=r"no run can be read: .*config\.yaml cannot be read"):
        write_report(tmp_path)


def test_the_command(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["report", str(sweep)]) == 0
    assert capsys.readouterr().out == f"report: {sweep / 'report' / 'report.html'}\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [([], "required: FOLDER"), (["a", "b"], "'b' is one argument too many"), (["no"], "no such")],
)
def test_wrong_arguments_are_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["report", *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_markup_in_settings_reaches_the_document_as_it_is(tmp_path: Path) -> None:
    write_run(tmp_path, optimizer="<b>&{{ x }}|_$", kind="alsals")
    tables = compose(read_results(tmp_path)).sections[1].tables
    assert tables[0].columns == ("", "<b>&{{ x }}|_$")
