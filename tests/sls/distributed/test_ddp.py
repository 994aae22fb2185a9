"""DistributedDataParallel on two ranks: equal decisions, steps and parameters, to the bit (8)."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.sls.distributed import ddp
from tests.sls.distributed.checks import assert_goes_on, assert_nan_moves_nothing, assert_refused

WORKER = "ddp"
SLOW = sorted(case.removeprefix("noisy ") for case in ddp.SLOW_CASES if case.startswith("noisy"))
SLOW_DIVIDED = sorted(
    case.removeprefix("divided ") for case in ddp.SLOW_CASES if case.startswith("divided")
)


ACCUMULATED = ("accumulated", "accumulated, uneven")


@pytest.mark.parametrize("name", ddp.NOISY)
def test_ranks_train_alike_to_the_bit(ranks: list[Any], name: str) -> None:
    """With dropout, BatchNorm and last batches of different sizes."""
    one, other = (rank[f"noisy {name}"] for rank in ranks)
    assert one["steps"] == other["steps"]
    assert one == other


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_so_they_do_with_every_other_optimizer(slow_ranks: list[Any], name: str) -> None:
    assert slow_ranks[0][f"noisy {name}"] == slow_ranks[1][f"noisy {name}"]


@pytest.mark.parametrize("name", ddp.NOISY)
def test_buffers_move_once_a_step_on_every_rank(ranks: list[Any], name: str) -> None:
    passes = [rank[f"noisy {name}"]["passes_of_batch_norm"] for rank in ranks]
    assert passes == [ddp.STEPS] * 2


def test_searches_from_afar_reject_trials(ranks: list[Any]) -> None:
    """Else the tests here would say nothing about searches of many trials."""
    assert max(ranks[0]["noisy ALSALS"]["forwards"]) > 10


def assert_runs_are_equal(divided: Any, whole: Any) -> None:
    assert divided["params"] == pytest.approx(whole["params"], rel=1e-8, abs=1e-10)
    assert divided["losses"] == pytest.approx(whole["losses"], rel=1e-8)
    assert divided["forwards"] == whole["forwards"]


@pytest.mark.parametrize("name", ddp.DIVIDED)
def test_a_divided_batch_gives_the_run_of_the_whole_batch(ranks: list[Any], name: str) -> None:
    assert_runs_are_equal(ranks[0][f"divided {name}"], ranks[0][f"whole {name}"])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW_DIVIDED)
def test_so_it_does_with_every_other_optimizer(slow_ranks: list[Any], name: str) -> None:
    assert_runs_are_equal(slow_ranks[0][f"divided {name}"], slow_ranks[0][f"whole {name}"])


@pytest.mark.parametrize("name", ["ALSALS", "PeakSLS"])
def test_models_without_a_wrapper_are_not_coupled(ranks: list[Any], name: str) -> None:
    """Every rank trains as it would without torch.distributed, on other batches than the other."""
    for rank, seen in enumerate(ranks):
        assert seen[f"alone {name}"] == ddp.train_alone(ddp.MAKERS[name], rank)


@pytest.mark.parametrize("name", ["SLS", "ALSALS", "PeakSLS"])
def test_a_nan_on_one_rank_moves_nothing_on_any(ranks: list[Any], name: str) -> None:
    assert_nan_moves_nothing(ranks, f"nan {name}")


def test_a_nan_on_one_rank_at_the_held_peak_counts_as_a_gradient_of_zero(ranks: list[Any]) -> None:
    one, other = (rank["nan PeakSLS-held"] for rank in ranks)
    assert one["params"] == other["params"]
    assert all(math.isfinite(x) for x in one["params"])


@pytest.mark.parametrize("name", ddp.RESUMED)
def test_a_resumed_run_equals_the_uninterrupted_one(ranks: list[Any], name: str) -> None:
    assert_goes_on(ranks, f"noisy {name}", f"resumed {name}", "losses", ddp.STEPS // 2)


@pytest.mark.parametrize("options", ddp.OPTIONS)
def test_options_of_ddp_change_no_bit(ranks: list[Any], options: str) -> None:
    for rank in ranks:
        assert rank[f"{options} forward"] == rank["plain forward"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ddp.COMPILED)
def test_compilation_changes_no_bit(slow_ranks: list[Any], name: str) -> None:
    for rank in slow_ranks:
        assert rank[name]["params"] == rank["plain forward"]["params"]


@pytest.mark.parametrize("options", ddp.WITH_BACKWARD)
def test_a_closure_that_runs_backward_in_trials_trains_alike(
    ranks: list[Any], options: str
) -> None:
    for rank in ranks:
        assert rank[f"{options} backward"]["params"] == rank["plain forward"]["params"]


@pytest.mark.parametrize("name", ["unused parameters", "overflow", "two parts", *ACCUMULATED])
def test_ranks_agree(ranks: list[Any], name: str) -> None:
    assert "params" in ranks[0][name], ranks[0][name]
    assert ranks[0][name] == ranks[1][name]


@pytest.mark.parametrize("name", ddp.ACCUMULATED)
def test_accumulation_equals_the_whole_batch(ranks: list[Any], name: str) -> None:
    seen = ranks[0][f"accumulated smooth {name}"]
    assert seen["split"] == pytest.approx(seen["whole"], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", ["ALSALS", "PeakSLS-held"])
def test_gradients_are_averaged_once_a_step(ranks: list[Any], name: str) -> None:
    assert ranks[0][f"reductions {name}"] == [1] * 12


@pytest.mark.parametrize("step", ["first", "later"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [("static graph", "static_graph=True) averages"), ("SyncBatchNorm", "of SyncBatchNorm needs")],
)
def test_uneven_numbers_are_refused_where_ranks_meet_in_every_pass(
    ranks: list[Any], name: str, reason: str, step: str
) -> None:
    for rank in ranks:
        seen = rank[f"uneven {name}"][step]
        assert "micro-batches: 3 on rank 0, 2 on rank 1." in seen["error"]
        assert reason in seen["error"]
        assert seen["after"] == seen["before"]


def test_an_overflow_on_one_rank_skips_the_step_on_all(ranks: list[Any]) -> None:
    for rank in ranks:
        moved = [status == "accepted" for status in rank["overflow"]["statuses"]]
        assert moved == [True, True, True, False, True, True]
        assert rank["overflow"]["scales"] == [1024.0] * 3 + [512.0] * 3


def test_averaged_weights_are_the_same_on_all_ranks_and_given_back(ranks: list[Any]) -> None:
    for rank in ranks:
        seen = rank["averaged"]
        assert seen["within"] == ranks[0]["averaged"]["within"] != seen["before"]
        assert seen["after"] == seen["before"]


def test_all_evaluations_of_a_step_see_the_buffers_that_ddp_sends(ranks: list[Any]) -> None:
    """Those of rank 0, which has counted one for each step, but after a validation."""
    for rank, own in zip(ranks, (4.0, 5.0), strict=True):
        assert [set(counts) for counts in rank["buffers"]] == [{0.0}, {1.0}, {2.0}, {own}]
        assert max(len(counts) for counts in rank["buffers"]) > 2


def test_so_do_those_of_micro_batches(ranks: list[Any]) -> None:
    """Sent before the first one; the ranks then count one and two for each."""
    for rank, step in zip(ranks, (1.0, 2.0), strict=True):
        counts = rank["buffers of micro-batches"]
        starts = (0.0, 2.0, 4.0)
        assert [set(seen) for seen in counts] == [{start, start + step} for start in starts]
        assert max(len(seen) for seen in counts) > 4


def test_a_step_reads_one_number_a_trial(ranks: list[Any]) -> None:
    for rank in ranks:
        assert rank["reads"]["reads"] == rank["reads"]["trials"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("one part", "a parameter of shape (2, 4) has a gradient, but is in no Distributed"),
        ("join", "within DistributedDataParallel.join() or Join are not supported"),
        ("mixed precision", "DistributedDataParallel(mixed_precision=...) is not supported"),
        ("two groups", "with different process groups"),
        ("last without graph", "the loss of the last micro-batch has no graph"),
        ("fsdp1", "Use torch.distributed.fsdp.fully_shard"),
    ],
)
def test_what_cannot_be_right_is_refused(ranks: list[Any], name: str, words: str) -> None:
    assert_refused(ranks, name, words)
