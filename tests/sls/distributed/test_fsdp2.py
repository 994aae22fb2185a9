"""FSDP2 on two ranks: the trajectory of DDP, and forward passes that see what was written (8)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sls.distributed import fsdp2
from tests.sls.distributed.checks import assert_goes_on, assert_nan_moves_nothing, assert_refused

WORKER = "fsdp2"
SLOW = sorted(
    case.removeprefix("sharded ") for case in fsdp2.SLOW_CASES if case.startswith("sharded")
)


def assert_equals_ddp(sharded: Any, replicated: Any) -> None:
    assert sharded["params"] == pytest.approx(replicated["params"], rel=1e-9, abs=1e-12)
    assert sharded["last"] == pytest.approx(replicated["last"], rel=1e-9)
    assert sharded["forwards"] == replicated["forwards"]


@pytest.mark.parametrize("name", [*fsdp2.COMPARED, "ALSALS"])
def test_shards_train_as_replicas_do(ranks: list[Any], name: str) -> None:
    assert_equals_ddp(ranks[0][f"sharded {name}"], ranks[0][f"replicated {name}"])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_so_they_do_with_every_other_optimizer(slow_ranks: list[Any], name: str) -> None:
    assert_equals_ddp(slow_ranks[0][f"sharded {name}"], slow_ranks[0][f"replicated {name}"])


@pytest.mark.parametrize("name", [*fsdp2.COMPARED, "ALSALS"])
def test_ranks_take_the_same_steps(ranks: list[Any], name: str) -> None:
    one, other = (rank[f"sharded {name}"] for rank in ranks)
    assert (one["losses"], one["steps"]) == (other["losses"], other["steps"])


def test_searches_from_afar_reject_trials(ranks: list[Any]) -> None:
    """Else nothing here would be said about forward passes without backward."""
    assert max(ranks[0]["sharded ALSALS"]["forwards"]) > 10


def test_copies_on_a_mesh_of_two_dimensions_change_nothing_but_rounding(ranks: list[Any]) -> None:
    """A kernel rounds the numbers at a tensor's end otherwise, and shards end elsewhere."""
    for part in ("params", "losses", "last"):
        expected = pytest.approx(ranks[0]["sharded ALSALS"][part], rel=1e-9, abs=1e-12)
        assert ranks[0]["two dimensions"][part] == expected


@pytest.mark.parametrize("name", ["resharded", "backward"])
def test_other_ways_to_shard_and_to_evaluate_change_no_bit(ranks: list[Any], name: str) -> None:
    for part in ("params", "losses", "last"):
        assert ranks[0][name][part] == ranks[0]["sharded ALSALS"][part]


def test_accumulation_equals_that_of_replicas(ranks: list[Any]) -> None:
    expected = pytest.approx(ranks[0]["accumulated by replicas"], rel=1e-9, abs=1e-12)
    assert ranks[0]["accumulated"] == expected


@pytest.mark.parametrize("when", fsdp2.UNEVEN)
def test_uneven_numbers_of_micro_batches_are_refused(ranks: list[Any], when: str) -> None:
    """On all ranks, before anything moves; the next step can be taken."""
    for rank in ranks:
        seen = rank[f"uneven {when}"]
        assert "micro-batches: 3 on rank 0, 2 on rank 1. Every forward pass" in seen["error"]
        assert seen["after"] == seen["before"]
        assert seen["moved"]


@pytest.mark.slow
def test_ranks_agree_in_low_precision(slow_ranks: list[Any]) -> None:
    one, other = (rank["mixed precision"] for rank in slow_ranks)
    assert one["params"] == other["params"]
    assert "accepted" in one["statuses"]


@pytest.mark.parametrize("name", fsdp2.RESUMED)
def test_a_resumed_run_equals_the_uninterrupted_one(ranks: list[Any], name: str) -> None:
    assert_goes_on(ranks, f"sharded {name}", f"resumed {name}", "steps", fsdp2.STEPS // 2)


@pytest.mark.parametrize("name", fsdp2.BY_TORCH)
def test_so_does_one_resumed_by_torch(ranks: list[Any], name: str) -> None:
    """With whole tensors; `torch.distributed.checkpoint` saves these states or sharded ones."""
    assert_goes_on(ranks, f"sharded {name}", f"by torch {name}", "steps", fsdp2.STEPS // 2)


@pytest.mark.parametrize("name", ["PLASLS", "PeakSLS"])
def test_a_nan_on_one_rank_moves_nothing_on_any(ranks: list[Any], name: str) -> None:
    assert_nan_moves_nothing(ranks, f"nan {name}")


def test_a_nan_on_one_rank_at_the_held_peak_leaves_finite_parameters(ranks: list[Any]) -> None:
    assert all(abs(x) < 10 for x in ranks[0]["nan PeakSLS-held"]["params"])


def test_a_nan_in_one_shard_is_one_for_all(ranks: list[Any]) -> None:
    """At the held peak, where nothing is read."""
    expected = ranks[0]["one shard of replicas"]
    assert ranks[0]["one shard"] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_forward_passes_see_the_average_within_and_not_after(ranks: list[Any]) -> None:
    seen = ranks[0]["averaged"]
    assert seen["within"] == pytest.approx(seen["of the average"], rel=1e-9)
    assert seen["before"] == seen["after"] != seen["within"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("built too early", "Build the optimizer after fully_shard"),
        ("one part", "a parameter of shape (2, 4) has a gradient, but fully_shard does not manage"),
        ("tensor parallel", "Supported are the parameters of fully_shard"),
    ],
)
def test_what_cannot_be_right_is_refused(ranks: list[Any], name: str, words: str) -> None:
    assert_refused(ranks, name, words)
