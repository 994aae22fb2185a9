"""Words, flat dictionaries and pictures from the records of steps."""

from __future__ import annotations

import copy
import math
import sys
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sls
from sls import ALSALS, SLS, PeakSLS, Status, StepRecord
from sls.diagnosis import ADVICE, Diagnosis
from sls.record import PeakRecord
from tests.sls.optimizers import Make, each_optimizer
from tests.sls.problems import PROBLEMS
from tests.sls.test_cost import Synchronisations


def searched(status: Status = Status.ACCEPTED, step_size: float = 0.1, trials: int = 1) -> Any:
    return StepRecord(
        loss=1.0,
        loss_next=0.9,
        step_size=step_size,
        slope=1.0,
        trials=trials,
        forwards=trials + 1,
        searched=True,
        status=status,
        factor=1.0,
    )


def judged(target: float | None, status: Status = Status.ACCEPTED) -> Any:
    return PeakRecord(
        loss_on_device=torch.tensor(1.0),
        step_size=0.1,
        forwards=2,
        status=status,
        factor=1.0,
        gain=0.1,
        target=target,
    )


def text_of(*records: Any) -> str:
    diagnosis = Diagnosis("SLS")
    for record in records:
        diagnosis.see(record)
    return diagnosis.text()


# --- explain -------------------------------------------------------------------------------------


def test_before_the_first_step_there_is_nothing_to_say() -> None:
    assert text_of() == "SLS: no step since it was built or loaded"


def test_a_healthy_run_is_nothing_unusual() -> None:
    assert text_of(*[searched()] * 50) == "SLS: nothing unusual in the last 50 steps"


@each_optimizer
def test_a_real_run_that_learns_is_nothing_unusual(make: Make) -> None:
    module = PROBLEMS["network"]()
    optimizer = make(module.parameters())
    for k in range(60):
        optimizer.step(lambda k=k: module(k))
    assert "nothing unusual" in optimizer.explain()


@pytest.mark.parametrize("status", ADVICE)
def test_steps_that_move_nothing_are_explained_by_their_status(status: Status) -> None:
    text = text_of(searched(), *[searched(status)] * 10)
    assert f"the last 10 steps moved nothing ({status})" in text
    assert ADVICE[status] in text


def test_every_status_that_moves_nothing_has_advice() -> None:
    assert set(ADVICE) == {status for status in Status if not status.moved}


def test_nine_steps_that_move_nothing_are_not_unusual() -> None:
    assert "nothing unusual" in text_of(searched(), *[searched(Status.IDLE)] * 9)


def test_a_step_that_collapses_is_named_with_its_sizes() -> None:
    text = text_of(*[searched(step_size=0.5**k) for k in range(30)])
    assert f"collapsed from 1 to {0.5**29:.3g} within 30 steps" in text


def test_a_step_that_runs_away_is_named_with_its_sizes() -> None:
    text = text_of(*[searched(step_size=2.0**k) for k in range(30)])
    assert f"run away from 1 to {2.0**29:.3g} within 30 steps" in text


def test_searches_that_keep_failing_are_counted() -> None:
    text = text_of(*[searched(), searched(Status.EXHAUSTED)] * 15)
    assert "15 of the last 30 searches failed" in text


def test_searches_of_many_trials_are_named() -> None:
    assert "20.0 trials in the mean" in text_of(*[searched(trials=20)] * 30)


def test_a_peak_that_keeps_being_lowered_is_named() -> None:
    records = [*[judged(1.0)] * 20, *[judged(1.0, Status.LOWERED)] * 3]
    assert "the peak was lowered 3 times within 23 steps" in text_of(*records)


def test_judgements_that_see_no_gain_are_counted() -> None:
    assert "12 of 15 judgements saw no gain" in text_of(*[judged(1.0)] * 3, *[judged(0.0)] * 12)


def test_only_the_last_hundred_steps_count() -> None:
    assert "nothing unusual" in text_of(searched(step_size=1e9), *[searched()] * 100)


def test_a_closure_whose_loss_does_not_repeat_is_explained() -> None:
    w, calls = nn.Parameter(torch.ones(2)), [0]

    def grows() -> Tensor:
        calls[0] += 1
        return (w**2).sum() + calls[0]

    optimizer = ALSALS([w])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the hints have tests of their own
        for _ in range(12):
            optimizer.step(grows)
    assert "evaluate another mini-batch" in optimizer.explain()


def test_explaining_waits_for_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    module = PROBLEMS["network"]()
    optimizer = PeakSLS(module.parameters())
    for k in range(5):
        optimizer.step(lambda k=k: module(k))
    with Synchronisations(monkeypatch) as synchronisations:
        optimizer.explain()
    assert synchronisations.count == 0


def test_a_copy_of_an_optimizer_starts_anew() -> None:
    w = nn.Parameter(torch.ones(2))
    optimizer = SLS([w])
    optimizer.step(lambda: (w**2).sum())
    assert "no step" in copy.deepcopy(optimizer).explain()


# --- log -----------------------------------------------------------------------------------------


@each_optimizer
def test_the_log_has_plain_numbers_and_text_under_one_prefix(make: Make) -> None:
    module = PROBLEMS["network"]()
    optimizer = make(module.parameters())
    for k in range(3):
        loss = optimizer.step(lambda k=k: module(k))
    log = optimizer.log()
    assert all(key.startswith("sls/") for key in log)
    assert {type(value) for value in log.values()} <= {int, float, str}
    assert log["sls/loss"] == float(loss)
    assert log["sls/step_size"] == optimizer.param_groups[0]["lr"]


def test_the_step_taken_is_the_annealed_one() -> None:
    w = nn.Parameter(torch.ones(2))
    optimizer = SLS([w], total_steps=4, anneal=1.0)
    for _ in range(2):
        optimizer.step(lambda: (w**2).sum())
    assert optimizer.log()["sls/step_taken"] == 0.75 * optimizer.log()["sls/step_size"]


def test_a_step_that_moved_nothing_took_none() -> None:
    w = nn.Parameter(torch.ones(2))
    optimizer = SLS([w])
    optimizer.step(lambda: (w * math.nan).sum())
    assert optimizer.log()["sls/step_taken"] == 0


def test_the_prefix_is_the_users() -> None:
    w = nn.Parameter(torch.ones(2))
    optimizer = SLS([w])
    optimizer.step(lambda: (w**2).sum())
    assert "optimizer.trials" in optimizer.log(prefix="optimizer.")


def test_before_the_first_step_the_log_is_empty() -> None:
    assert SLS([nn.Parameter(torch.ones(2))]).log() == {}


def test_torchs_hook_after_a_step_sees_its_record() -> None:
    w, records = nn.Parameter(torch.ones(2)), []
    optimizer = SLS([w])
    optimizer.register_step_post_hook(lambda o, args, kwargs: records.append(o.last_step))
    losses = [float(optimizer.step(lambda: (w**2).sum())) for _ in range(5)]
    assert [record.loss for record in records] == losses


# --- plot ----------------------------------------------------------------------------------------


def test_a_run_has_three_panels() -> None:
    figure = sls.plot([searched(trials=k + 1) for k in range(10)])
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "step", "trials"]
    assert [bar.get_height() for bar in figure.axes[2].patches] == list(range(1, 11))


def test_steps_that_moved_nothing_are_marked() -> None:
    figure = sls.plot([searched(), searched(Status.EXHAUSTED), searched()])
    marked = next(
        line for line in figure.axes[1].lines if line.get_label() == "nothing moved, or lowered"
    )
    assert list(marked.get_xdata()) == [1]


def test_a_loss_that_is_not_finite_leaves_the_mean_finite() -> None:
    w, records = nn.Parameter(torch.ones(2)), []
    optimizer = SLS([w])
    for k in range(5):
        optimizer.step(lambda k=k: (w**2).sum() * (math.nan if k == 0 else 1))
        records.append(optimizer.last_step)
    mean = sls.plot(records).axes[0].lines[1].get_ydata()
    assert all(map(math.isfinite, mean[1:]))


def test_records_of_peak_sls_are_drawn() -> None:
    assert len(sls.plot([judged(1.0)] * 5).axes) == 3


def test_no_record_is_an_error() -> None:
    with pytest.raises(ValueError, match="plot needs the record of one step at least"):
        sls.plot([])


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"sls\.plot needs matplotlib: pip install matplotlib"):
        sls.plot([searched()])
