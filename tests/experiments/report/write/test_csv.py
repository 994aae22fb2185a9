"""runs.csv: every run, every number."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from experiments.report.read.runs import read_results
from experiments.report.write.csv import runs_csv
from tests.experiments.report.folders import write_run


def lines(root: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(runs_csv(read_results(root)))))


def test_every_run_has_its_numbers(tmp_path: Path) -> None:
    folder = write_run(tmp_path, settings={"lr": 0.1}, scores=(0.875, 0.75), train_losses=(1, 0.5))
    [line] = lines(tmp_path)
    expected = {
        "stage": "comparison",
        "row": "mrpc_bert",
        "label": "adam",
        "optimizer": "adam",
        "seed": "0",
        "status": "finished",
        "folder": folder.relative_to(tmp_path).as_posix(),
        "score": "accuracy",
        "final.accuracy": "0.75",
        "final.train_loss": "0.5",
        "best.accuracy": "0.875",
        "best.step": "2",
        "steps": "4",
        "seconds_training": "2.0",
        "forward_passes": "4",
        "last.step": "4",
        "commit": "a" * 40,
        "version.torch": "2.14.1",
    }
    assert {key: line[key] for key in expected} == expected
    assert json.loads(line["settings"]) == {"kind": "adam", "lr": 0.1}


def test_an_unfinished_run_says_how_far_it_came(tmp_path: Path) -> None:
    write_run(tmp_path, status=None)
    write_run(tmp_path, seed=1, hold_out=0.1)
    unfinished, tuning = lines(tmp_path)
    assert (unfinished["status"], unfinished["last.step"]) == ("unfinished", "4")
    assert unfinished["final.accuracy"] == ""
    assert tuning["stage"] == "tuning"


def test_commas_and_quotes_stay_in_their_cell(tmp_path: Path) -> None:
    write_run(tmp_path, settings={"note": 'a, "b"\n<script>'})
    [line] = lines(tmp_path)
    assert json.loads(line["settings"])["note"] == 'a, "b"\n<script>'
