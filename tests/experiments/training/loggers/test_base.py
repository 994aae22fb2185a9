"""Rows in metrics.jsonl, and several loggers as one."""

from __future__ import annotations

import pytest

from experiments.files.run_folder import RunFolder
from experiments.training.loggers.base import JsonlLogger, Logger, Loggers
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
    loggers = Loggers(JsonlLogger(folders[0]), [JsonlLogger(folders[1])])
    loggers.start(make_info(tmp_path))
    loggers.step(step(1))
    loggers.evaluation(EVALUATION)
    loggers.finish({"status": "finished"})
    assert folders[0].rows() == folders[1].rows()
    assert [row["event"] for row in folders[0].rows()] == ["step", "evaluation"]


class Broken(Logger):
    name = "the display"
    calls = 0

    def step(self, row):
        self.calls += 1
        raise RuntimeError("cannot be\nshown")

    def abandon(self):
        self.calls += 10
        raise RuntimeError("nor stopped")


def test_a_logger_that_only_shows_is_left_out_when_it_fails(tmp_path, capsys):
    folder, broken = RunFolder(tmp_path), Broken()
    loggers = Loggers(JsonlLogger(folder), [broken])
    loggers.step(step(1))
    loggers.step(step(2))
    loggers.finish({"status": "finished"})
    assert broken.calls == 11
    assert [row["step"] for row in folder.rows()] == [1, 2]
    assert capsys.readouterr().err == ("warning: the display is left out: cannot be shown\n")


def test_a_record_that_fails_ends_the_run(tmp_path):
    with pytest.raises(RuntimeError):
        Loggers(Broken(), []).step(step(1))
