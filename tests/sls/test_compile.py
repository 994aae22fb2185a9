"""torch.compile: of the model, of the loss function, of parts; the same run, in two graphs."""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

import sls
from sls import ALSALS, PeakSLS
from sls.closure import ClosureForms, Evaluation
from sls.compiled import uncompiled
from sls.replay import Replay
from sls.scaling import NoScale
from tests.sls.digits import batch_norm_network, batches
from tests.sls.optimizers import EVERY, Make

Loss = Callable[[Tensor, Tensor], Tensor]
STEPS = 8


@pytest.fixture(autouse=True)
def forget_compiled_code() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def loss_of(model: Callable[[Tensor], Tensor]) -> Loss:
    return lambda inputs, targets: nn.functional.cross_entropy(model(inputs), targets)


def as_it_is(model: nn.Module, backend: Any) -> Loss:
    return loss_of(model)


def compiled_model(model: nn.Module, backend: Any) -> Loss:
    return loss_of(torch.compile(model, backend=backend, fullgraph=True))


def compiled_in_place(model: nn.Module, backend: Any) -> Loss:
    model.compile(backend=backend, fullgraph=True)
    return loss_of(model)


def compiled_function(model: nn.Module, backend: Any) -> Loss:
    return torch.compile(loss_of(model), backend=backend, fullgraph=True)


def compiled_in_parts(model: nn.Module, backend: Any) -> Loss:
    """The layers with buffers and random numbers in one graph, below a module that is eager."""
    inner = torch.compile(nn.Sequential(*list(model.children())[:-1]), backend=backend)
    return loss_of(nn.Sequential(inner, list(model.children())[-1]))


compiles_in_place = pytest.mark.skipif(
    torch.__version__.startswith("2.13."),
    reason="torch 2.13 runs an nn.Sequential whose `compile` was called uncompiled",
)
WAYS = [
    compiled_model,
    pytest.param(compiled_in_place, marks=compiles_in_place),
    compiled_function,
    compiled_in_parts,
]
each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


@dataclass
class Run:
    losses: list[float]
    model: nn.Module
    graphs: list[int]
    """The number of graphs compiled after each step."""


def train(
    optimizer: Any, loss: Loss, steps: int = STEPS, counter: CompileCounterWithBackend | None = None
) -> tuple[list[float], list[int]]:
    torch.manual_seed(3)
    losses, graphs = [], []
    for k in range(steps):
        inputs, targets = batches()[k % 20]
        losses.append(float(optimizer.step(lambda i=inputs, t=targets: loss(i, t))))
        graphs.append(0 if counter is None else counter.frame_count)
    return losses, graphs


def run(make: Make, way: Callable[..., Loss], backend: str, steps: int = STEPS) -> Run:
    torch._dynamo.reset()
    model = batch_norm_network()
    counter = CompileCounterWithBackend(backend)
    optimizer = make(model.parameters())
    losses, graphs = train(optimizer, way(model, counter), steps, counter)
    return Run(losses, model, graphs)


MAKERS = dict(EVERY)


@cache
def compiled_run(name: str) -> Run:
    return run(MAKERS[name], compiled_model, "eager")


def held_peak(params: Any) -> PeakSLS:
    """Its peak is held after three judgements or so, in any case in the last steps."""
    return PeakSLS(params, total_steps=STEPS)


def assert_same(now: Run, expected: Run) -> None:
    assert now.losses == expected.losses
    for name, value in now.model.state_dict().items():
        assert torch.equal(value, expected.model.state_dict()[name]), name


def assert_two_graphs(graphs: list[int]) -> None:
    assert 0 < graphs[1] <= 2
    assert graphs[-1] == graphs[1], "compiled again after the second step"


# ------------------------------------------------------------------------- every optimizer, MLP


@pytest.mark.parametrize("name", MAKERS)
def test_every_optimizer_runs_as_without_compiling(name: str) -> None:
    assert_same(compiled_run(name), run(MAKERS[name], as_it_is, "eager"))


@pytest.mark.parametrize("name", MAKERS)
def test_every_optimizer_has_one_graph_with_gradients_and_one_without(name: str) -> None:
    assert_two_graphs(compiled_run(name).graphs)


@each_way
@pytest.mark.parametrize(
    ("make", "backend"), [(ALSALS, "aot_eager"), (held_peak, "eager")], ids=["ALSALS", "held_peak"]
)
def test_every_way_of_compiling_is_the_same_run_in_two_graphs(
    way: Callable[..., Loss], make: Make, backend: str
) -> None:
    compiled = run(make, way, backend)
    assert_same(compiled, run(make, as_it_is, backend))
    assert_two_graphs(compiled.graphs)


@compiles_in_place
def test_a_held_peak_compiles_nothing_when_watching_ends() -> None:
    model, counter = batch_norm_network(), CompileCounterWithBackend("eager")
    optimizer = held_peak(model.parameters())
    loss = compiled_in_place(model, counter)
    graphs = train(optimizer, loss, STEPS, counter)[1]
    assert optimizer.search_state.peak.held
    assert_two_graphs(graphs)


def test_resumed_at_a_held_peak_there_is_one_graph() -> None:
    model, counter = batch_norm_network(), CompileCounterWithBackend("eager")
    first = held_peak(model.parameters())
    train(first, loss_of(model))
    resumed = held_peak(model.parameters())
    resumed.load_state_dict(first.state_dict())
    resumed.param_groups[0]["total_steps"] = 3 * STEPS
    graphs = train(resumed, compiled_function(model, counter), STEPS, counter)[1]
    assert graphs == [1] * STEPS


def test_code_that_has_run_before_the_first_step_is_not_compiled_again() -> None:
    model, counter = batch_norm_network(), CompileCounterWithBackend("eager")
    loss = compiled_function(model, counter)
    loss(*batches()[0])
    with torch.no_grad():
        loss(*batches()[0])
    optimizer = ALSALS(model.parameters())
    train(optimizer, loss, STEPS, counter)
    assert counter.frame_count == 2


def test_a_first_step_evaluates_once_more_than_it_counts() -> None:
    model, calls = batch_norm_network(), []
    loss = compiled_model(model, "eager")
    optimizer = ALSALS(model.parameters())
    for extra in (1, 0, 0):
        calls.clear()
        optimizer.step(lambda: calls.append(1) or loss(*batches()[0]))
        assert optimizer.last_step is not None
        assert len(calls) == optimizer.last_step.forwards + extra


# ------------------------------------------------------------------------------- what else runs


def test_accumulated_micro_batches_move_buffers_once_each() -> None:
    ends = []
    for way in (as_it_is, compiled_function):
        model = batch_norm_network()
        loss = way(model, "eager")
        optimizer = ALSALS(model.parameters())
        torch.manual_seed(3)
        for k in range(4):
            optimizer.step(sls.accumulate(loss, batches()[2 * k : 2 * k + 2]))
        ends.append(model.state_dict())
    assert int(ends[0]["1.num_batches_tracked"]) == 8
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_recomputed_statistics_are_those_of_the_uncompiled_model() -> None:
    means = []
    for way in (as_it_is, compiled_model):
        model = batch_norm_network()
        loss = way(model, "eager")
        optimizer = PeakSLS(model.parameters(), averaging=True)
        train(optimizer, loss)
        passes = [partial(loss, *batch) for batch in batches()[:3]]
        with optimizer.averaged(recompute=passes):
            means.append(model.get_buffer("1.running_mean").clone())
    assert torch.equal(means[0], means[1])


@compiles_in_place
def test_a_model_compiled_during_training_is_the_same_run() -> None:
    model, counter = batch_norm_network(), CompileCounterWithBackend("eager")
    optimizer = ALSALS(model.parameters())
    loss = loss_of(model)
    first = train(optimizer, loss, 3)[0]
    model.compile(backend=counter)
    graphs = train(optimizer, loss, 5, counter)[1]
    other = batch_norm_network()
    expected = ALSALS(other.parameters())
    assert train(expected, loss_of(other), 3)[0] == first
    train(expected, loss_of(other), 5)
    assert_same(Run([], model, []), Run([], other, []))
    assert_two_graphs(graphs)


def test_a_module_that_compiled_code_calls_later_is_found_by_its_gradients() -> None:
    model, late = batch_norm_network(), nn.Sequential(nn.BatchNorm1d(10), nn.Linear(10, 10))
    late.double()

    def both(inputs: Tensor, targets: Tensor, later: bool) -> Tensor:
        logits = model(inputs)
        return nn.functional.cross_entropy(late(logits) if later else logits, targets)

    loss = torch.compile(both, backend="eager")
    optimizer = ALSALS([*model.parameters(), *late.parameters()], init_step=10.0)
    seen = []
    for k in range(6):
        optimizer.step(lambda k=k: loss(*batches()[k], k >= 3))
        seen.append(int(late.get_buffer("0.num_batches_tracked")))
    assert [after - before for before, after in pairwise(seen[3:])] == [1, 1]


def test_a_module_made_anew_for_each_call_does_not_end_compiling() -> None:
    class WithLoss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = batch_norm_network()
            self.register_buffer("weight", torch.ones(10, dtype=torch.float64))

        def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
            return nn.CrossEntropyLoss(weight=self.weight)(self.body(inputs), targets)

    model, calls = WithLoss(), []
    loss = torch.compile(model, backend="eager")
    optimizer = ALSALS(model.parameters())
    for k in range(4):
        calls.clear()
        optimizer.step(lambda k=k: calls.append(k) or loss(*batches()[k]))
    assert len(calls) == optimizer.last_step.forwards


def test_autocast_around_the_step_is_the_same_run() -> None:
    runs = []
    for way in (as_it_is, compiled_model):
        model, counter = batch_norm_network().float(), CompileCounterWithBackend("eager")
        optimizer = ALSALS(model.parameters())
        loss = way(model, counter)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            losses, graphs = train(
                optimizer, lambda x, y, loss=loss: loss(x.float(), y), STEPS, counter
            )
        runs.append(Run(losses, model, graphs))
    assert_same(*runs)
    assert_two_graphs(runs[1].graphs)


# ----------------------------------------------------------------------------- nothing is left


def settings_of_the_process() -> tuple[Any, ...]:
    hooks = dict(nn.modules.module._global_forward_pre_hooks)
    return hooks, torch._dynamo.eval_frame._stance, list(warnings.filters)


@each_way
def test_a_closure_that_raises_leaves_nothing(way: Callable[..., Loss]) -> None:
    model = batch_norm_network()
    loss, before = way(model, "eager"), settings_of_the_process()

    def fails() -> Tensor:
        loss(*batches()[0])
        raise KeyError("x")

    with pytest.raises(KeyError):
        ALSALS(model.parameters()).step(fails)
    assert settings_of_the_process() == before


def test_threads_that_overlap_leave_nothing() -> None:
    before = settings_of_the_process()
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))

    def first() -> None:
        with uncompiled():
            first_is_in.set()
            second_is_in.wait(10)
        first_is_out.set()

    thread = threading.Thread(target=first)
    thread.start()
    first_is_in.wait(10)
    with uncompiled():
        second_is_in.set()
        first_is_out.wait(10)
        assert torch._dynamo.eval_frame._stance.stance == "force_eager"
    thread.join()
    assert settings_of_the_process() == before


# --------------------------------------------------------------------------- the step, compiled


@pytest.mark.parametrize("make", [ALSALS, held_peak])
def test_a_step_in_compiled_code_runs_uncompiled(make: Make) -> None:
    model = batch_norm_network()
    optimizer = make(model.parameters())
    step = torch.compile(lambda closure: optimizer.step(closure), backend="eager")
    torch.manual_seed(3)
    losses = [float(step(lambda k=k: loss_of(model)(*batches()[k]))) for k in range(STEPS)]
    assert losses == run(make, as_it_is, "eager").losses


def test_a_step_in_one_graph_is_refused_with_the_way_out() -> None:
    model = batch_norm_network()
    optimizer = ALSALS(model.parameters())
    step = torch.compile(lambda closure: optimizer.step(closure), backend="eager", fullgraph=True)
    with pytest.raises(torch._dynamo.exc.Unsupported, match="compile the model or the loss"):
        step(lambda: loss_of(model)(*batches()[0]))


def test_warnings_of_a_step_name_the_line_that_steps() -> None:
    model = batch_norm_network()
    optimizer = ALSALS(model.parameters(), total_steps=1)
    optimizer.step(lambda: loss_of(model)(*batches()[0]))
    with pytest.warns(UserWarning, match="total_steps") as caught:
        optimizer.step(lambda: loss_of(model)(*batches()[1]))
    assert caught[0].filename == __file__


# --------------------------------------------------------------------------------- other models


class Block(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.a, self.b = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.m, self.n = (nn.BatchNorm2d(channels) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(x + self.n(self.b(nn.functional.relu(self.m(self.a(x))))))


def resnet() -> tuple[nn.Module, Callable[[Any, int], Tensor]]:
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    model = nn.Sequential(nn.Conv2d(1, 8, 3), Block(8), Block(8), head)

    def loss(model: Any, k: int) -> Tensor:
        inputs, targets = batches()[k]
        return nn.functional.cross_entropy(model(inputs.float().view(-1, 1, 8, 8)), targets)

    return model, loss


def tokens(k: int) -> Tensor:
    return torch.randint(0, 50, (4, 12), generator=torch.Generator().manual_seed(k))


def gpt2() -> tuple[nn.Module, Callable[[Any, int], Tensor]]:
    transformers = pytest.importorskip("transformers")
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            n_layer=1,
            n_embd=32,
            n_head=2,
            vocab_size=50,
            n_positions=16,
            bos_token_id=0,
            eos_token_id=0,
        )
    )

    def loss(model: Any, k: int) -> Tensor:
        logits = model(input_ids=tokens(k)).logits
        return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens(k)[:, 1:].flatten())

    return model, loss


def bert() -> tuple[nn.Module, Callable[[Any, int], Tensor]]:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        num_hidden_layers=1,
        hidden_size=32,
        num_attention_heads=2,
        intermediate_size=64,
        vocab_size=50,
    )
    model = transformers.BertForSequenceClassification(config)
    return model, lambda model, k: model(input_ids=tokens(k), labels=torch.tensor([0, 1] * 2)).loss


def train_model(build: Callable[[], Any], backend: str | None) -> Run:
    torch._dynamo.reset()
    torch.manual_seed(0)
    model, loss = build()
    model.train()
    counter = CompileCounterWithBackend(backend or "eager")
    called = torch.compile(model, backend=counter, fullgraph=True) if backend else model
    optimizer = ALSALS(model.parameters())
    losses, graphs = [], []
    torch.manual_seed(3)
    for k in range(5):
        losses.append(float(optimizer.step(lambda k=k: loss(called, k))))
        graphs.append(counter.frame_count)
    return Run(losses, model, graphs)


@pytest.mark.parametrize("backend", ["eager", pytest.param("aot_eager", marks=pytest.mark.slow)])
@pytest.mark.parametrize("build", [resnet, bert, gpt2])
def test_a_larger_model_is_the_same_run_in_two_graphs(
    build: Callable[[], Any], backend: str
) -> None:
    compiled = train_model(build, backend)
    assert_same(compiled, train_model(build, None))
    assert_two_graphs(compiled.graphs)


# ------------------------------------------------------------------------------------- inductor


@pytest.mark.slow
@each_way
def test_inductor_is_the_same_run_to_rounding(way: Callable[..., Loss]) -> None:
    with torch._inductor.config.patch(fallback_random=True):
        compiled = run(ALSALS, way, "inductor")
    expected = run(ALSALS, as_it_is, "eager")
    assert compiled.losses == pytest.approx(expected.losses, rel=1e-9)
    assert_two_graphs(compiled.graphs)


@pytest.mark.slow
def test_trials_see_the_masks_that_inductor_draws_itself() -> None:
    model = batch_norm_network()
    loss = compiled_model(model, "inductor")
    params = list(model.parameters())
    torch.manual_seed(3)
    replay = Replay(param.device for param in params)
    evaluation = Evaluation(lambda: loss(*batches()[0]), params, ClosureForms(), replay, NoScale())
    first = float(evaluation.loss_and_gradients())
    again = [float(evaluation.loss()) for _ in range(3)]
    evaluation.finish()
    other = float(loss(*batches()[0]).detach())
    assert again == pytest.approx([first] * 3, rel=1e-12)
    assert abs(other - first) > 1e-4, "the next masks are others"


@pytest.mark.slow
def test_a_resumed_run_under_inductor_is_the_uninterrupted_one() -> None:
    model = batch_norm_network()
    loss = compiled_model(model, "inductor")
    optimizer = ALSALS(model.parameters())
    train(optimizer, loss, 3)
    saved = {name: value.clone() for name, value in model.state_dict().items()}
    state = copy.deepcopy(optimizer.state_dict())
    expected = train(optimizer, loss, 3)[0]
    model.load_state_dict(saved)
    resumed = ALSALS(model.parameters())
    resumed.load_state_dict(state)
    assert train(resumed, loss, 3)[0] == expected


# ------------------------------------------------------------------------- other kinds of models


def test_a_functional_call_moves_buffers_once() -> None:
    model = batch_norm_network()
    params = {name: nn.Parameter(p.detach().clone()) for name, p in model.named_parameters()}
    optimizer = ALSALS(params.values(), init_step=10.0)
    losses = train(optimizer, loss_of(lambda x: torch.func.functional_call(model, params, (x,))))[0]
    other = batch_norm_network()
    assert losses == train(ALSALS(other.parameters(), init_step=10.0), loss_of(other))[0]
    assert int(model.get_buffer("1.num_batches_tracked")) == STEPS


def test_an_exported_model_moves_buffers_once() -> None:
    exported = torch.export.export(batch_norm_network(), (batches()[0][0],)).module()
    optimizer = ALSALS(exported.parameters(), init_step=10.0)
    train(optimizer, loss_of(exported))
    assert int(exported.state_dict()["1.num_batches_tracked"]) == STEPS


def test_a_scripted_model_moves_buffers_once() -> None:
    with warnings.catch_warnings():
        for category in (FutureWarning, DeprecationWarning):  # torch 2.14's, and 2.13's
            warnings.simplefilter("ignore", category)
        scripted = torch.jit.script(batch_norm_network())
    optimizer = ALSALS(scripted.parameters(), init_step=10.0)
    train(optimizer, loss_of(scripted))
    assert int(scripted.state_dict()["1.num_batches_tracked"]) == STEPS


@pytest.fixture
def process_group() -> Iterator[None]:
    distributed = torch.distributed
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize("make", [ALSALS, held_peak])
@pytest.mark.usefixtures("process_group")
def test_a_compiled_model_in_ddp_is_the_same_run_in_two_graphs(make: Make) -> None:
    def in_ddp(model: nn.Module, backend: Any) -> Loss:
        compiled = torch.compile(model, backend=backend)
        return loss_of(nn.parallel.DistributedDataParallel(compiled))

    compiled = run(make, in_ddp, "eager")
    assert_same(compiled, run(make, as_it_is, "eager"))
    assert_two_graphs(compiled.graphs)
