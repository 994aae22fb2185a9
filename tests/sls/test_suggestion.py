"""`suggest_lr`: the rate, and the way back to the bit."""

from __future__ import annotations

import copy
import itertools
import math
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import sls
from sls import Suggestion, suggest_lr
from sls.suggestion import ABOVE, Probe
from tests.sls import digits

criterion = nn.CrossEntropyLoss()


def suggestion(
    model: nn.Module | None = None, loader: Any = None, probes: int = 1, **settings: Any
) -> Suggestion:
    model = digits.dropout_network() if model is None else model
    loader = digits.batches() if loader is None else loader
    return suggest_lr(model, loader, criterion, probes=probes, **settings)


def shuffled(generator: torch.Generator | None = None, **settings: Any) -> DataLoader[Any]:
    inputs = torch.cat([x for x, _ in digits.batches()])
    targets = torch.cat([y for _, y in digits.batches()])
    data = torch.utils.data.TensorDataset(inputs, targets)
    return DataLoader(data, batch_size=32, shuffle=True, generator=generator, **settings)


# --- the rate ------------------------------------------------------------------------------------


def by_hand(model: nn.Module, batches: Iterator[Any]) -> float:
    """The step of one probe, from the optimizer alone."""
    optimizer = sls.PeakSLS(model.parameters(), weight_decay=0.01)
    settling = []
    while optimizer.param_groups[0]["search_state"]["peak"]["phase"] != "held":
        x, y = next(batches)
        optimizer.step(lambda x=x, y=y: criterion(model(x), y))  # type: ignore[misc]
        if optimizer.param_groups[0]["search_state"]["peak"]["phase"] != "rising":
            settling.append(optimizer.param_groups[0]["lr"])
    half = settling[len(settling) // 2 :]
    return math.exp(float(np.mean(np.log(half))))


def test_the_rate_is_the_mean_of_probes_that_each_start_from_the_models_weights() -> None:
    model = digits.dropout_network()
    torch.manual_seed(1)
    found = suggestion(model, probes=3)
    torch.manual_seed(1)
    batches = itertools.cycle(digits.batches())
    steps = [by_hand(copy.deepcopy(model), batches) for _ in range(3)]
    assert [probe.step_size for probe in found.probes] == pytest.approx(steps, rel=1e-12)
    assert not any(probe.cut_short for probe in found.probes)
    assert found.lr == pytest.approx(ABOVE * math.prod(steps) ** (1 / 3), rel=1e-12)


def test_the_suggested_rate_trains_digits_better_than_a_tenth_and_ten_times_of_it() -> None:
    network = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).double()
    torch.manual_seed(0)
    lr = suggestion(network, shuffled(), probes=2).lr

    def end(rate: float) -> float:
        model = copy.deepcopy(network)
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=200)
        for inputs, targets in itertools.islice(itertools.cycle(digits.batches()), 200):
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            return float(np.mean([criterion(model(x), y).item() for x, y in digits.batches()]))

    assert end(lr) < end(lr / 10)
    assert end(lr) < end(10 * lr)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(power=st.integers(-2, 2), seed=st.integers(0, 100))
def test_the_rate_has_the_unit_of_the_parameters(power: int, seed: int) -> None:
    """A quadratic whose parameters are a power of two times as large wants as large a rate."""

    def rate(scale: float) -> float:
        generator = torch.Generator().manual_seed(seed)
        noise = [torch.randn(4, generator=generator).double() for _ in range(64)]
        model = nn.Linear(4, 1, bias=False).double()
        model.weight.data = torch.tensor([[3.0, -1.0, 2.0, 1.0]]).double() * scale
        curvature = torch.tensor([1.0, 3.0, 10.0, 30.0]).double()

        def loss(model: nn.Module, batch: Tensor) -> Tensor:
            assert isinstance(model.weight, Tensor)
            return (curvature * (model.weight[0] / scale - 0.3 * batch).square()).sum()

        settings = {"weight_decay": 0.0, "eps": 0.0, "init_step": 1e-4 * scale}
        return suggest_lr(model, noise, loss, probes=1, **settings).lr  # type: ignore[arg-type]

    scale = 2.0**power
    assert rate(scale) == pytest.approx(scale * rate(1.0), rel=1e-9)


@pytest.mark.parametrize(
    "setting",
    [
        {"weight_decay": 30.0},
        {"betas": (0.5, 0.9)},
        {"eps": 1e-2},
        {"max_grad_norm": 1e-3},
        {"init_step": 1e-6},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_each_setting_reaches_the_probes(setting: dict[str, Any]) -> None:
    network = digits.dropout_network()
    assert suggestion(network, **setting).lr != suggestion(network).lr


def test_the_same_random_numbers_give_the_same_rate() -> None:
    model, loader = digits.dropout_network(), shuffled()
    rates = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        rates.append(suggestion(model, loader).lr)
    assert rates[0] == rates[1] != rates[2]


def test_dictionaries_go_to_the_loss_function_with_the_model() -> None:
    model = digits.dropout_network()
    batches = [{"x": x, "y": y} for x, y in digits.batches()]
    torch.manual_seed(0)
    pairs = suggestion(model)
    torch.manual_seed(0)
    found = suggest_lr(model, batches, lambda m, b: criterion(m(b["x"]), b["y"]), probes=1)
    assert found.lr == pairs.lr


def test_tensors_go_to_the_device_of_the_model() -> None:
    seen = []

    class Batch(list[Tensor]):
        def to(self, device: torch.device) -> Batch:
            seen.append(device)
            return self

    suggestion(loader=[Batch(batch) for batch in digits.batches()])
    assert set(seen) == {torch.device("cpu")}


def test_a_short_loader_is_begun_anew() -> None:
    assert suggestion(loader=digits.batches()[:5]).steps > 5


# --- the way back --------------------------------------------------------------------------------


def snapshot(model: nn.Module) -> dict[str, Any]:
    return {
        "weights": {name: x.clone() for name, x in model.state_dict().items()},
        "tensors": [id(x) for x in (*model.parameters(), *model.buffers())],
        "grads": [x.grad for x in model.parameters()],
        "flags": [x.requires_grad for x in model.parameters()],
        "modes": [module.training for module in model.modules()],
    }


def assert_equal(before: dict[str, Any], after: dict[str, Any]) -> None:
    for name, tensor in before["weights"].items():
        assert torch.equal(tensor, after["weights"][name]), name
    assert all(x is y for x, y in zip(before["grads"], after["grads"], strict=True))
    for key in ("tensors", "flags", "modes"):
        assert before[key] == after[key], key


def with_gradients() -> nn.Module:
    model = digits.batch_norm_network()
    model[0].bias.requires_grad_(False)
    inputs, targets = digits.batches()[0]
    criterion(model(inputs), targets).backward()
    model[1].eval()
    return model


def test_parameters_buffers_gradients_flags_and_modes_are_what_they_were() -> None:
    model = with_gradients()
    gradients = [None if x.grad is None else x.grad.clone() for x in model.parameters()]
    before = snapshot(model)
    suggestion(model, probes=2)
    assert_equal(before, snapshot(model))
    for param, gradient in zip(model.parameters(), gradients, strict=True):
        assert gradient is None or torch.equal(param.grad, gradient)


def test_a_model_in_evaluation_mode_is_probed_in_training_mode() -> None:
    model, modes = digits.batch_norm_network().eval(), []
    model[1].register_forward_hook(lambda module, *_: modes.append(module.training))
    before = snapshot(model)
    suggestion(model)
    assert all(modes)
    assert_equal(before, snapshot(model))


def test_a_part_in_evaluation_mode_stays_so() -> None:
    model, modes = with_gradients(), []
    model[1].register_forward_hook(lambda module, *_: modes.append(module.training))
    suggestion(model)
    assert not any(modes)


def test_a_buffer_that_the_forward_pass_replaces_is_put_back() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = digits.dropout_network()
            self.register_buffer("calls", torch.zeros(()))
            self.register_buffer("wide", torch.ones(1).expand(3))

        def forward(self, x: Tensor) -> Tensor:
            self.calls = self.calls + 1
            return self.inner(x)

    model = Counting()
    before = snapshot(model)
    suggestion(model)
    assert_equal(before, snapshot(model))


class Noisy(Dataset[Any]):
    """Digits with noise drawn by every kind of generator."""

    def __init__(self) -> None:
        self.torch = torch.Generator().manual_seed(0)
        self.numpy = np.random.default_rng(0)
        self.legacy = np.random.RandomState(0)
        self.python = random.Random(0)

    def __len__(self) -> int:
        return 320

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        batch, place = divmod(item, 32)
        inputs, targets = digits.batches()[batch]
        return inputs[place] + 0.01 * sum(self.draws()), targets[place]

    def draws(self) -> list[float]:
        return [
            float(torch.rand((), generator=self.torch)),
            self.numpy.random(),
            self.legacy.random_sample(),
            self.python.random(),
            float(torch.rand(())),
            np.random.random(),
            random.random(),
        ]


def test_random_numbers_are_what_they_were() -> None:
    def after(probe: bool) -> list[float]:
        torch.manual_seed(5)
        np.random.seed(5)
        random.seed(5)
        data = Noisy()
        model = digits.dropout_network()
        if probe:
            suggestion(model, DataLoader(data, batch_size=32, shuffle=True))
        return data.draws()

    assert after(probe=True) == after(probe=False)


@pytest.mark.parametrize("seed", [None, 7], ids=["global", "own"])
def test_the_loader_continues_with_the_order_that_it_would_have_had(seed: int | None) -> None:
    def order(probe: bool) -> list[Tensor]:
        torch.manual_seed(0)
        loader = shuffled(None if seed is None else torch.Generator().manual_seed(seed))
        if probe:
            suggestion(loader=loader)
        return [targets for _, targets in loader]

    assert all(map(torch.equal, order(probe=True), order(probe=False)))


def test_persistent_workers_are_not_used_by_the_probe() -> None:
    loader = shuffled(num_workers=1, persistent_workers=True)
    suggestion(loader=loader)
    assert loader._iterator is None


def test_everything_is_what_it_was_after_an_error() -> None:
    model, calls = with_gradients(), itertools.count()

    def fails_later(outputs: Tensor, targets: Tensor) -> Tensor:
        if next(calls) > 20:
            model.eval()
            raise KeyError("no such label")
        return criterion(outputs, targets)

    before, state = snapshot(model), torch.get_rng_state()
    with pytest.raises(KeyError):
        suggest_lr(model, shuffled(), fails_later)
    assert_equal(before, snapshot(model))
    assert torch.equal(state, torch.get_rng_state())


# --- bad input -----------------------------------------------------------------------------------


class Once:
    """Can be iterated over once."""

    def __init__(self) -> None:
        self.left = iter(digits.batches()[:3])

    def __iter__(self) -> Iterator[Any]:
        return self.left


def frozen() -> nn.Module:
    return digits.dropout_network().requires_grad_(False)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"model": nn.ReLU()}, ValueError, "no trainable parameters"),
        ({"model": frozen()}, ValueError, "no trainable parameters"),
        ({"model": nn.LazyLinear(3)}, ValueError, "run one forward pass first"),
        ({"loader": []}, ValueError, "yields no mini-batch"),
        ({"loader": Once()}, ValueError, "or none when it is begun anew"),
        ({"loader": iter(digits.batches())}, TypeError, "is an iterator"),
        ({"loader": 3}, TypeError, "not iterable"),
        ({"probes": 0}, ValueError, "probes must be a whole number of at least 1; got 0"),
        ({"betas": 0.9}, ValueError, "betas"),
    ],
)
def test_bad_input_is_named(arguments: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        suggestion(**arguments)


@pytest.mark.parametrize(
    ("loss_fn", "error", "words"),
    [
        (None, TypeError, "loss_fn must be callable"),
        (lambda outputs, _: outputs, TypeError, r"a scalar tensor; got \(32, 10\)"),
        (lambda *_: 1.0, TypeError, "a scalar tensor; got float"),
        (lambda outputs, _: outputs.sum() * math.nan, RuntimeError, "first mini-batch is nan"),
    ],
)
def test_a_bad_loss_function_is_named(
    loss_fn: Callable[..., Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        suggest_lr(digits.dropout_network(), digits.batches(), loss_fn)


@pytest.mark.filterwarnings("ignore:.*in a row moved nothing")
def test_a_probe_that_cannot_move_says_how_its_steps_ended() -> None:
    calls = itertools.count()

    def breaks(outputs: Tensor, targets: Tensor) -> Tensor:
        return criterion(outputs, targets) * (1.0 if next(calls) == 0 else math.nan)

    with pytest.raises(RuntimeError, match=r"found no peak in 200 steps; .*nonfinite_loss 199"):
        suggest_lr(digits.dropout_network(), digits.batches(), breaks)


# --- the result ----------------------------------------------------------------------------------


def test_the_result_is_the_rate_and_counts_what_it_cost() -> None:
    calls = []
    model = digits.dropout_network()
    model.register_forward_hook(lambda *_: calls.append(1))
    found = suggestion(model, probes=2)
    assert float(found) == found.lr
    assert found.forwards == len(calls)
    assert found.steps == sum(len(probe.records) for probe in found.probes)


def probe_at(step_size: float, growth: float = 1.0, seen: bool = True) -> Probe:
    """One rising step and 64 that settle; the geometric mean of their second half is given."""
    steps = [step_size * growth ** (k - 47.5) for k in range(64)]
    records = [
        sls.PeakRecord(torch.tensor(1.0), step, 1.0, 1, sls.Status.ACCEPTED, 1.0)
        for step in (1e-4, *steps)
    ]
    return Probe(tuple(records), rising=1, seen=seen)


def test_a_probe_that_was_cut_short_does_not_count() -> None:
    short, other = probe_at(2e-4, growth=1.02), probe_at(1e-3, growth=1.01)
    assert (short.cut_short, other.cut_short) == (True, False)
    assert Suggestion((short, other)).lr == pytest.approx(ABOVE * 1e-3)


def test_probes_that_were_all_cut_short_count() -> None:
    probes = (probe_at(1e-3, growth=1.02), probe_at(4e-3, growth=1.02))
    assert Suggestion(probes).lr == pytest.approx(ABOVE * 2e-3)


def test_a_blind_probe_is_not_cut_short() -> None:
    """Its step may rise faster."""
    assert not probe_at(1e-3, growth=1.1, seen=False).cut_short


DOUBTS = ("differ by a factor of 5", "1 of 2 probes never saw", "1 of 2 probes were cut", "rising")


@pytest.mark.parametrize(
    ("probes", "doubt"),
    [
        ((probe_at(1e-3), probe_at(2e-3)), None),
        ((probe_at(1e-3), probe_at(5e-3)), DOUBTS[0]),
        ((probe_at(1e-3), probe_at(1e-3, seen=False)), DOUBTS[1]),
        ((probe_at(1e-3), probe_at(1e-4, growth=1.02)), DOUBTS[2]),
        ((probe_at(1e-3, growth=1.02),), DOUBTS[3]),
    ],
    ids=["sure", "wide", "blind", "short", "all short"],
)
def test_explain_says_what_is_doubtful_and_nothing_else(
    probes: tuple[Probe, ...], doubt: str | None
) -> None:
    text = Suggestion(probes).explain()
    assert [words for words in DOUBTS if words in text] == ([] if doubt is None else [doubt])


def test_the_picture_has_every_probe_and_the_rate(tmp_path: Path) -> None:
    found = suggestion(probes=2)
    figure = found.plot()
    losses, steps = figure.axes
    assert len(losses.lines) == 4
    assert [line.get_label() for line in steps.lines[1::2]] == ["probe 1", "probe 2"]
    assert steps.lines[-1].get_ydata()[0] == found.lr
    figure.savefig(tmp_path / "lr.png")
    assert (tmp_path / "lr.png").stat().st_size > 10_000


def test_the_picture_needs_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        Suggestion((probe_at(1e-3),)).plot()
