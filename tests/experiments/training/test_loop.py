"""The loop: what it counts, when it evaluates, how it ends, how it resumes."""

from __future__ import annotations

import math
import signal

import pytest
import torch

from experiments.files.run_folder import RunFolder
from experiments.optimizers.build import build_optimizer
from experiments.optimizers.sls_optimizers import ALSALS, PeakSLS
from experiments.optimizers.torch_optimizers import SGD, Adam
from experiments.training.loggers.base import JsonlLogger
from experiments.training.loop import (
    DIVERGED_AFTER,
    JUDGE_FIELDS,
    RECORD_FIELDS,
    Training,
    TrainingPlan,
)
from tests.experiments.training.tiny import Digits, TinyTask

CPU = torch.device("cpu")
ADAM = Adam(lr=0.01)
ANNEALED = ALSALS(anneal=0.5)


def make_training(path, spec=ADAM, task=None, **changes):
    """Two epochs of six batches, the last of each a partial one."""
    task = TinyTask() if task is None else task
    settings = {
        "examples": len(task.train),
        "seed": 0,
        "epochs": 2,
        "max_steps": None,
        "batch_size": 64,
        "eval_batch_size": 100,
        "eval_every_steps": None,
        "checkpoint_every_steps": 4,
    }
    plan = TrainingPlan(**(settings | changes))
    optimizer, scheduler = build_optimizer(
        spec,
        task.model.parameters(),
        total_steps=plan.total_steps,
        steps_per_epoch=plan.steps_per_epoch,
    )
    folder = RunFolder(path)
    folder.create()
    training = Training(task, optimizer, scheduler, plan=plan, folder=folder, device=CPU)
    training.resume()
    return training


def train(path, spec=ADAM, task=None, **changes):
    training = make_training(path, spec, task, **changes)
    training.run(JsonlLogger(training.folder))
    return training


def rows(training, event):
    return [row for row in training.folder.rows() if row["event"] == event]


def without_seconds(found):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in found]


def parameters(training):
    return [value.clone() for value in training.task.model.state_dict().values()]


# ------------------------------------------------------------------------------------ counting


def test_a_run_has_all_steps_of_all_epochs(tmp_path):
    training = train(tmp_path)
    assert [row["step"] for row in rows(training, "step")] == list(range(1, 13))
    assert rows(training, "step")[8]["epoch"] == 1.5
    assert training.progress.step == 12


def test_further_validation_splits_have_metrics_of_their_own(tmp_path):
    task = TinyTask()
    task.also_validation = {"same": task.validation, "other": Digits((2,))}
    final = train(tmp_path, task=task).progress.final
    for name in ("val_loss", "accuracy"):
        assert final[f"{name}_same"] == final[name]
        assert final[f"{name}_other"] != final[name]


def test_max_steps_ends_a_run_in_the_middle_of_an_epoch(tmp_path):
    training = train(tmp_path, max_steps=8)
    assert training.progress.step == 8
    assert [row["step"] for row in rows(training, "evaluation")] == [6, 8]


@pytest.mark.parametrize(("every", "expected"), [(None, [6, 12]), (5, [5, 10, 12]), (99, [12])])
def test_evaluations_come_on_schedule_and_at_the_end(tmp_path, every, expected):
    training = train(tmp_path, eval_every_steps=every)
    assert [row["step"] for row in rows(training, "evaluation")] == expected


def test_passes_are_those_of_training_alone(tmp_path):
    training = train(tmp_path, eval_every_steps=1)
    last = rows(training, "step")[-1]
    assert (last["forward_passes"], last["backward_passes"]) == (12, 12)


def test_a_line_searchs_passes_and_record_are_in_its_rows(tmp_path):
    training = train(tmp_path, ANNEALED)
    found = rows(training, "step")
    assert all(set(RECORD_FIELDS) <= row.keys() for row in found)
    assert found[-1]["forward_passes"] == sum(1 + row["trials"] for row in found)
    assert found[-1]["backward_passes"] == 12
    assert found[-1]["step_size"] == training.optimizer.last_step.step_size


def test_what_an_optimizer_judges_is_in_its_rows(tmp_path):
    found = rows(train(tmp_path, PeakSLS()), "step")
    assert all({*RECORD_FIELDS, *JUDGE_FIELDS} <= row.keys() for row in found)
    judged = [row["searched"] for row in found]
    assert (judged[0], any(judged)) == (False, True)
    assert [row["gain"] is not None for row in found] == judged


def test_an_optimizer_without_record_has_no_empty_fields(tmp_path):
    assert not set(RECORD_FIELDS) & rows(train(tmp_path), "step")[0].keys()


def test_the_step_size_of_a_row_is_the_one_that_was_used(tmp_path):
    spec = SGD(lr=0.1, warmup=0.5)
    found = [row["step_size"] for row in rows(train(tmp_path, spec), "step")]
    assert found[:7] == pytest.approx([0.1 * (k + 1) / 7 for k in range(7)])


def test_the_train_loss_weighs_batches_and_starts_again_after_an_evaluation(tmp_path):
    training = train(tmp_path)
    losses = [row["loss"] for row in rows(training, "step")]
    weights = [64, 64, 64, 64, 64, 40]
    for evaluation, part in zip(
        rows(training, "evaluation"), (losses[:6], losses[6:]), strict=True
    ):
        mean = sum(w * loss for w, loss in zip(weights, part, strict=True)) / 360
        assert evaluation["train_loss"] == pytest.approx(mean, rel=1e-12)


def test_seconds_leave_evaluation_and_checkpoints_out(tmp_path, monkeypatch):
    clock = iter(range(1_000_000))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    training = train(tmp_path, eval_every_steps=3, checkpoint_every_steps=1)
    # The clock goes on by one whenever somebody looks: a step is exactly one tick.
    assert [row["seconds"] for row in rows(training, "step")] == list(range(1, 13))


def test_training_is_in_training_mode(tmp_path):
    task = TinyTask()
    task.model.eval()
    train(tmp_path, task=task)
    assert int(task.model.state_dict()["layers.1.num_batches_tracked"]) == 12


def test_workers_change_nothing(tmp_path):
    alone = train(tmp_path / "a", max_steps=7)
    helped = train(tmp_path / "b", max_steps=7, workers=1)
    assert without_seconds(helped.folder.rows()) == without_seconds(alone.folder.rows())


def test_bfloat16_trains(tmp_path):
    training = train(tmp_path, precision="bfloat16", epochs=4)
    first, *_, last = rows(training, "evaluation")
    assert last["val_loss"] < first["val_loss"]


# -------------------------------------------------------------------------------- best and worst


class ScriptedTask(TinyTask):
    """A task whose metric takes given values, one an evaluation."""

    def __init__(self, values, *, score_is_loss):
        super().__init__()
        self.values = iter(values)
        self.score_is_loss = score_is_loss

    def metrics(self, outputs, labels):
        return {"accuracy": next(self.values)}


@pytest.mark.parametrize(
    ("values", "score_is_loss", "best_step"),
    [
        ([0.2, 0.9, 0.9, 0.3], False, 6),
        ([0.2, 0.1, 0.1, 0.3], True, 6),
        ([math.nan, 0.1, math.nan, 0.05], False, 6),
        ([math.nan] * 4, False, 3),
    ],
)
def test_the_best_evaluation_is_the_first_with_the_best_score(
    tmp_path, values, score_is_loss, best_step
):
    task = ScriptedTask(values, score_is_loss=score_is_loss)
    training = train(tmp_path, task=task, eval_every_steps=3)
    assert training.progress.best["step"] == best_step
    assert training.progress.final["step"] == 12


def test_the_best_file_is_the_model_of_the_best_evaluation(tmp_path):
    task = ScriptedTask([0.2, 0.9, 0.1, 0.1], score_is_loss=False)
    training = train(tmp_path, task=task, eval_every_steps=3)
    best = torch.load(training.folder.best_file, weights_only=True)
    final = training.task.model.state_dict()
    assert not all(torch.equal(best[name], final[name]) for name in best)
    assert int(best["layers.1.num_batches_tracked"]) == 6


def test_a_loss_that_stays_nan_ends_the_run_as_diverged(tmp_path):
    training = train(tmp_path, SGD(lr=1e30, warmup=0), epochs=9)
    assert training.diverged
    assert DIVERGED_AFTER <= training.progress.step < training.plan.total_steps
    assert rows(training, "evaluation")[-1]["step"] == training.progress.step


def test_a_final_validation_loss_that_is_nan_is_divergence(tmp_path):
    training = train(tmp_path, SGD(lr=1e30, warmup=0), max_steps=4)
    assert training.progress.step == 4
    assert training.diverged


def test_a_run_that_went_well_has_not_diverged(tmp_path):
    assert not train(tmp_path).diverged


# --------------------------------------------------------------------------------------- resuming


class StoppedError(Exception):
    """Stands for whatever ends a process."""


class StopAt(JsonlLogger):
    """Ends the run while a row is taken."""

    def __init__(self, folder, event, step):
        super().__init__(folder)
        self.at = (event, step)

    def step(self, row):
        super().step(row)
        self._stop(row)

    def evaluation(self, row):
        super().evaluation(row)
        self._stop(row)

    def _stop(self, row):
        if (row["event"], row["step"]) == self.at:
            raise StoppedError


@pytest.mark.parametrize("spec", [ADAM, ANNEALED], ids=["adam", "alsals"])
@pytest.mark.parametrize(
    "at", [("step", 2), ("step", 4), ("step", 7), ("evaluation", 6), ("evaluation", 12)]
)
def test_a_run_that_stops_anywhere_resumes_bit_for_bit(tmp_path, spec, at):
    whole = train(tmp_path / "whole", spec)
    broken = make_training(tmp_path / "broken", spec)
    with pytest.raises(StoppedError):
        broken.run(StopAt(broken.folder, *at))
    torch.manual_seed(999)
    resumed = train(tmp_path / "broken", spec)
    assert without_seconds(resumed.folder.rows()) == without_seconds(whole.folder.rows())
    assert all(
        torch.equal(a, b) for a, b in zip(parameters(whole), parameters(resumed), strict=True)
    )
    assert resumed.progress.best == whole.progress.best
    assert resumed.progress.final == whole.progress.final


def test_a_finished_run_has_nothing_left_to_do(tmp_path):
    first = train(tmp_path)
    again = train(tmp_path)
    assert again.folder.rows() == first.folder.rows()
    assert again.progress.final == first.progress.final


class CtrlCAt(JsonlLogger):
    """Presses Ctrl-C while the row of a step is taken."""

    def step(self, row):
        super().step(row)
        if row["step"] == 3:
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_leaves_a_checkpoint_of_the_last_whole_step(tmp_path):
    before = signal.getsignal(signal.SIGINT)  # a job in the background has it ignored
    training = make_training(tmp_path, checkpoint_every_steps=100)
    with pytest.raises(KeyboardInterrupt):
        training.run(CtrlCAt(training.folder))
    assert make_training(tmp_path).progress.step == 3
    assert signal.getsignal(signal.SIGINT) is before


class CtrlCInEvaluation(TinyTask):
    """Presses Ctrl-C in the middle of the first evaluation."""

    pressed = False

    def predict(self, batch):
        if not self.pressed:
            self.pressed = True
            signal.raise_signal(signal.SIGINT)
        return super().predict(batch)


def test_ctrl_c_in_an_evaluation_repeats_the_evaluation(tmp_path):
    whole = train(tmp_path / "whole")
    training = make_training(tmp_path / "broken", task=CtrlCInEvaluation())
    with pytest.raises(KeyboardInterrupt):
        training.run(JsonlLogger(training.folder))
    assert rows(training, "evaluation") == []
    resumed = train(tmp_path / "broken")
    assert without_seconds(resumed.folder.rows()) == without_seconds(whole.folder.rows())


# -------------------------------------------------------------------------------------- quirks


def test_in_evaluation_mode_dropout_is_off_and_batch_norm_stays(tmp_path):
    task = TinyTask()
    buffers = [buffer.clone() for buffer in task.model.buffers()]
    training = train(tmp_path / "one", task=task, evaluation_mode=True)
    assert not task.model.training
    assert all(map(torch.equal, buffers, task.model.buffers()))
    torch.manual_seed(123)  # where dropout is off, no step draws a number
    state = torch.get_rng_state()
    train(tmp_path / "two", task=task, evaluation_mode=True)
    assert torch.equal(state, torch.get_rng_state())
    assert training.progress.step == 12


def test_quirks_of_order_and_metrics_reach_batches_and_evaluation(tmp_path):
    plain = train(tmp_path / "plain").folder.rows()
    quirky = train(tmp_path / "quirky", fixed_order=True, metrics_of_one_batch=True).folder.rows()
    losses = [[row["loss"] for row in found if row["event"] == "step"] for found in (plain, quirky)]
    accuracies = [
        [row["accuracy"] for row in found if row["event"] == "evaluation"]
        for found in (plain, quirky)
    ]
    assert losses[0][:6] == losses[1][:6]
    assert losses[0][6:] != losses[1][6:]
    assert accuracies[0] != accuracies[1]
