"""Rows into metrics.jsonl, and several loggers as one."""

from __future__ import annotations

from experiments.files.run_folder import RunFolder
from experiments.training.loggers.base import Loggers
from experiments.training.loggers.jsonl import JsonlLogger
from tests.experiments.training.loggers.test_console import EVALUATION, make_info, step


def test_every_row_is_on_file_at_once(tmp_path):
    folder = RunFolder(tmp_path)
    logger = JsonlLogger(folder)
    logger.step(step(1))
    assert folder.rows() == [step(1)]
    logger.evaluation(EVALUATION)
    assert folder.rows()[1] == {**EVALUATION, "val_loss": None}


def test_all_loggers_get_everything(tmp_path):
    folders = [RunFolder(tmp_path / name) for name in "ab"]
    for folder in folders:
        folder.create()
    loggers = Loggers([JsonlLogger(folder) for folder in folders])
    loggers.start(make_info(tmp_path))
    loggers.step(step(1))
    loggers.evaluation(EVALUATION)
    loggers.finish({"status": "finished"})
    assert folders[0].rows() == folders[1].rows()
    assert [row["event"] for row in folders[0].rows()] == ["step", "evaluation"]
