"""Closures over micro-batches: equal to the whole batch, iterators read once, weights by size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.amp import GradScaler

import sls
from tests.sls.optimizers import Make, each_optimizer

N = 24


def examples() -> tuple[Tensor, Tensor]:
    x = torch.randn(N, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x, (x[:, 0] > 0).long()


def network(*between: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), *between, nn.Linear(8, 2)).double()


def loss_of(model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, y: nn.functional.cross_entropy(model(x), y)


def parts(*sizes: int) -> list[tuple[Tensor, Tensor]]:
    x, y = examples()
    return list(zip(x.split(list(sizes)), y.split(list(sizes)), strict=True))


def vector(model: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach()


@each_optimizer
@pytest.mark.parametrize("sizes", [(24,), (8, 8, 8), (10, 10, 4)], ids=str)
def test_micro_batches_equal_one_large_batch(make: Make, sizes: tuple[int, ...]) -> None:
    one, other = network(), network()
    whole, accumulated = make(one.parameters()), make(other.parameters())
    for _ in range(15):
        whole.step(lambda: loss_of(one)(*examples()))
        accumulated.step(sls.accumulate(loss_of(other), parts(*sizes)))
        assert accumulated.last_step.trials == whole.last_step.trials
    torch.testing.assert_close(vector(one), vector(other), rtol=1e-6, atol=1e-9)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_weights_are_the_sizes(sizes: list[int], random: Any) -> None:
    values = [[random.uniform(-5, 5) for _ in range(n)] for n in sizes]
    closure = sls.accumulate(lambda x: x.mean(), [torch.tensor(v).double() for v in values])
    everything = torch.tensor([x for v in values for x in v]).double()
    assert float(closure(backward=False)) == pytest.approx(float(everything.mean()), abs=1e-12)


def test_an_iterator_is_read_once_and_kept() -> None:
    model, reads = network(), []

    def micro_batches() -> Any:
        for part in parts(12, 12):
            reads.append(1)
            yield part

    optimizer = sls.SLS(model.parameters(), init_step=1e4)
    optimizer.step(sls.accumulate(loss_of(model), micro_batches()))
    assert optimizer.last_step.trials > 1
    assert len(reads) == 2


def test_dropout_repeats_in_every_evaluation() -> None:
    """Every micro-batch draws its own numbers, and the same ones in every trial."""
    model = network(nn.Dropout(0.5))
    masks: list[Tensor] = []
    model[2].register_forward_hook(lambda module, args, out: masks.append(out == 0))
    optimizer = sls.SLS(model.parameters(), init_step=1e4)
    optimizer.step(sls.accumulate(loss_of(model), parts(12, 12)))
    first, second = masks[0], masks[1]
    assert not torch.equal(first, second)
    assert optimizer.last_step.trials > 1
    assert all(torch.equal(mask, first) for mask in masks[::2])
    assert all(torch.equal(mask, second) for mask in masks[1::2])


def test_buffers_move_once_for_every_micro_batch() -> None:
    model = network(nn.BatchNorm1d(8))
    optimizer = sls.SLS(model.parameters(), init_step=1e4)
    optimizer.step(sls.accumulate(loss_of(model), parts(12, 12)))
    assert optimizer.last_step.trials > 1
    assert int(model[2].num_batches_tracked) == 2


def test_trials_build_no_graph() -> None:
    model, with_graph = network(), []

    def watched(x: Tensor, y: Tensor) -> Tensor:
        with_graph.append(torch.is_grad_enabled())
        return loss_of(model)(x, y)

    sls.SLS(model.parameters()).step(sls.accumulate(watched, parts(12, 12)))
    assert with_graph[:2] == [True, True]
    assert not any(with_graph[2:])


def test_a_scaler_scales_every_part() -> None:
    ends = []
    for scaler in (None, GradScaler("cpu", init_scale=4096.0)):
        model = network()
        optimizer = sls.ALSALS(model.parameters())
        for _ in range(5):
            optimizer.step(sls.accumulate(loss_of(model), parts(16, 8)), scaler=scaler)
        ends.append(vector(model))
    assert torch.equal(*ends)


def test_a_dictionary_is_one_argument_and_its_first_tensor_tells_the_size() -> None:
    batches = [{"ids": torch.ones(3, 2), "mask": torch.ones(1)}, {"ids": torch.ones(1, 2)}]
    closure = sls.accumulate(lambda batch: batch["ids"].mean(), batches)
    assert closure.shares == [0.75, 0.25]


def test_size_says_what_the_mean_is_over() -> None:
    closure = sls.accumulate(lambda x: x.mean(), [torch.ones(2), torch.ones(2)], size=torch.numel)
    assert closure.shares == [0.5, 0.5]


def test_bf16_losses_are_summed_in_float32() -> None:
    part = torch.tensor([1.0], dtype=torch.bfloat16)
    closure = sls.accumulate(lambda x: x.mean(), [part] * 1000)
    loss = closure(backward=False)
    assert loss.dtype == torch.bfloat16
    assert float(loss) == pytest.approx(1, rel=1e-2)


def test_no_micro_batch_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one micro-batch; the iterable was empty"):
        sls.accumulate(torch.mean, iter([]))


def test_a_micro_batch_without_a_size_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"type str has no tensor .* pass size="):
        sls.accumulate(torch.mean, ["text"])


def test_sizes_that_are_all_0_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"not all 0; got \[0.0\]"):
        sls.accumulate(torch.mean, [torch.ones(3)], size=lambda batch: 0)


def test_a_loss_that_is_no_scalar_is_an_error() -> None:
    closure = sls.accumulate(lambda x: x, [torch.ones(3)])
    with pytest.raises(TypeError, match=r"loss_of must return the mean loss.*shape \(3,\)"):
        closure(backward=False)


def test_a_loss_that_depends_on_no_parameter_is_an_error_of_the_step() -> None:
    w = nn.Parameter(torch.ones(1))
    with pytest.raises(RuntimeError, match="depends on no parameter of this optimizer"):
        sls.SLS([w]).step(sls.accumulate(lambda x: x.mean(), [torch.ones(3)]))
