"""Three forms of closure, told apart without being asked: contract 1."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sls import ALSALS, SLS, LineSearch
from tests.sls.digits import batch_norm_network, batches, dropout_network
from tests.sls.optimizers import Make, each_optimizer, each_search, start_at

STEPS = 12
Loss = Callable[[], Any]


def forward_only(loss: Loss, optimizer: LineSearch) -> Callable[..., Any]:
    return loss


def standard(loss: Loss, optimizer: LineSearch) -> Callable[..., Any]:
    def closure() -> Any:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    return closure


def standard_with_zeros(loss: Loss, optimizer: LineSearch) -> Callable[..., Any]:
    def closure() -> Any:
        optimizer.zero_grad(set_to_none=False)
        value = loss()
        value.backward()
        return value

    return closure


def grad_aware(loss: Loss, optimizer: LineSearch) -> Callable[..., Any]:
    def closure() -> Any:
        optimizer.zero_grad()
        value = loss()
        if torch.is_grad_enabled():
            value.backward()
        return value.detach()

    return closure


def backward_keyword(loss: Loss, optimizer: LineSearch) -> Callable[..., Any]:
    def closure(backward: bool = True) -> Any:
        optimizer.zero_grad()
        value = loss()
        if backward:
            value.backward()
        return value

    return closure


class CallableObject:
    """The third form as an object."""

    def __init__(self, loss: Loss):
        self.loss = loss
        self.asked: list[bool] = []

    def __call__(self, *, backward: bool) -> Any:
        self.asked.append(backward)
        value = self.loss()
        if backward:
            value.backward()
        return value


Form = Callable[[Loss, LineSearch], Callable[..., Any]]
CHEAP: list[Form] = [forward_only, grad_aware, backward_keyword]
FORMS: list[Form] = [*CHEAP, standard, standard_with_zeros]

each_form = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
each_cheap_form = pytest.mark.parametrize("form", CHEAP, ids=lambda form: form.__name__)
eval_mode_is_known = pytest.mark.filterwarnings("ignore:.*the model is in eval mode")
cost_is_known = pytest.mark.filterwarnings("ignore:the closure runs backward")


def batch_loss(model: nn.Module, k: int = 0) -> Loss:
    inputs, targets = batches()[k]
    return lambda: nn.functional.cross_entropy(model(inputs), targets)


def parameters_of(model: nn.Module) -> list[Tensor]:
    return [param.detach().clone() for param in model.parameters()]


def walk(make: Make, form: Form) -> tuple[list[Tensor], list[Any]]:
    """Parameters after twelve steps with dropout, and the records without the cost."""
    model = dropout_network()
    optimizer = make(model.parameters())
    torch.manual_seed(1)
    records = []
    for k in range(STEPS):
        optimizer.step(form(batch_loss(model, k), optimizer))
        assert optimizer.last_step is not None
        records.append(replace(optimizer.last_step, forwards=0))
    return parameters_of(model), records


@cost_is_known
@pytest.mark.parametrize("form", FORMS[1:], ids=lambda form: form.__name__)
@each_optimizer
def test_every_form_gives_the_trajectory_of_the_first(make: Make, form: Form) -> None:
    parameters, records = walk(make, form)
    expected_parameters, expected_records = walk(make, forward_only)
    assert records == expected_records
    for got, expected in zip(parameters, expected_parameters, strict=True):
        assert torch.equal(got, expected)


class _Counted(torch.autograd.Function):
    """The identity; counts how often backward passes through it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, passes: list[int], index: int) -> Tensor:
        ctx.passes, ctx.index = passes, index
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        ctx.passes[ctx.index] += 1
        return gradients[0], None, None


def counted(loss: Loss, passes: list[int]) -> Loss:
    """The same loss; `passes` gets one entry a forward pass, the number of its backward passes."""

    def evaluate() -> Any:
        passes.append(0)
        return _Counted.apply(loss(), passes, len(passes) - 1)

    return evaluate


def backward_passes(make: Make, form: Form) -> list[int]:
    """Of each forward pass of one step that takes several trials."""
    model, passes = dropout_network(), []  # type: tuple[nn.Module, list[int]]
    optimizer = start_at(make(model.parameters()), 30.0)
    optimizer.step(form(counted(batch_loss(model), passes), optimizer))
    assert len(passes) > 3, "the step was meant to take several trials"
    assert optimizer.last_step is not None
    assert optimizer.last_step.forwards == len(passes)
    return passes


@cost_is_known
@each_form
@each_search
def test_no_forward_pass_has_two_backward_passes(make: Make, form: Form) -> None:
    assert max(backward_passes(make, form)) == 1


@each_cheap_form
@each_search
def test_one_backward_pass_a_step(make: Make, form: Form) -> None:
    passes = backward_passes(make, form)
    assert passes == [1] + [0] * (len(passes) - 1)


@cost_is_known
@eval_mode_is_known
@each_form
@each_optimizer
def test_gradients_after_the_step_are_those_at_its_start(make: Make, form: Form) -> None:
    model = dropout_network().eval()
    optimizer = start_at(make(model.parameters()), 30.0)
    # The second step meets a form that is known already.
    for k in range(2):
        loss = batch_loss(model, k)
        expected = torch.autograd.grad(loss(), list(model.parameters()))
        optimizer.step(form(loss, optimizer))
        for param, gradient in zip(model.parameters(), expected, strict=True):
            assert param.grad is not None
            assert torch.equal(param.grad, gradient)


@eval_mode_is_known
def test_left_over_gradients_do_not_enter_the_step() -> None:
    model = dropout_network().eval()
    optimizer, loss = SLS(model.parameters()), batch_loss(model)
    expected = torch.autograd.grad(loss(), list(model.parameters()))
    for param in model.parameters():
        param.grad = torch.full_like(param, 7.0)
    optimizer.step(loss)
    for param, gradient in zip(model.parameters(), expected, strict=True):
        assert torch.equal(param.grad, gradient)  # type: ignore[arg-type]


@each_optimizer
def test_a_standard_closure_is_warned_of_once_per_optimizer(make: Make) -> None:
    for _ in range(2):
        model = dropout_network()
        optimizer = make(model.parameters())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for k, form in enumerate([standard, standard, standard_with_zeros, standard]):
                optimizer.step(form(batch_loss(model, k), optimizer))
        messages = [str(warning.message) for warning in caught]
        assert len(messages) == 1
        assert "is_grad_enabled" in messages[0]


@cost_is_known
def test_a_standard_closure_that_is_known_costs_one_pass_an_evaluation() -> None:
    model = dropout_network()
    optimizer = ALSALS(model.parameters())
    for k in range(3):
        optimizer.step(standard(batch_loss(model, k), optimizer))
    assert optimizer.last_step is not None
    assert optimizer.last_step.forwards == 1 + optimizer.last_step.trials


@each_cheap_form
@each_optimizer
def test_cheap_forms_are_not_warned_of(make: Make, form: Form) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        walk(make, form)
    assert [str(warning.message) for warning in caught] == []


def test_a_callable_object_with_the_keyword_is_the_third_form() -> None:
    model = dropout_network()
    optimizer = start_at(ALSALS(model.parameters()), 30.0)
    closure = CallableObject(batch_loss(model))
    optimizer.step(closure)
    assert closure.asked[0] is True
    assert len(closure.asked) > 2
    assert not any(closure.asked[1:])


def test_a_closure_of_any_keywords_is_not_the_third_form() -> None:
    model, options = dropout_network(), []
    loss = batch_loss(model)

    def closure(**given: Any) -> Any:
        options.append(given)
        return loss()

    before = parameters_of(model)
    ALSALS(model.parameters()).step(closure)
    assert len(options) > 1
    assert options == [{}] * len(options)
    assert not torch.equal(parameters_of(model)[0], before[0])


@each_optimizer
def test_no_closure_is_an_error_whose_snippet_runs(make: Make) -> None:
    model = dropout_network()
    optimizer = make(model.parameters())
    with pytest.raises(TypeError, match="needs a closure") as caught:
        optimizer.step()
    (snippet,) = [
        line.strip() for line in str(caught.value).splitlines() if line.startswith("    ")
    ]
    inputs, targets = batches()[0]
    names = {
        "optimizer": optimizer,
        "model": model,
        "criterion": nn.CrossEntropyLoss(),
        "inputs": inputs,
        "targets": targets,
    }
    exec(snippet, names)
    assert isinstance(names["loss"], Tensor)
    assert optimizer.last_step is not None
    assert optimizer.last_step.loss == pytest.approx(float(names["loss"]))


WRONG: dict[str, tuple[Callable[[nn.Module, Loss], Any], type[Exception], str]] = {
    "None": (lambda model, loss: None, TypeError, "must return the loss.*None"),
    "text": (lambda model, loss: "0.5", TypeError, "must return the loss.*0.5"),
    "vector": (lambda model, loss: loss().expand(3), TypeError, r"scalar loss.*\(3,\)"),
    "no graph": (lambda model, loss: loss().detach(), RuntimeError, "has no graph"),
    "number": (lambda model, loss: loss().item(), RuntimeError, "has no graph"),
    "other parameters": (
        lambda model, loss: nn.Parameter(torch.ones(())) * 2,
        RuntimeError,
        "no parameter of this optimizer",
    ),
}


@pytest.mark.parametrize("what", WRONG)
@each_optimizer
def test_a_closure_that_returns_no_usable_loss(make: Make, what: str) -> None:
    returned, error, message = WRONG[what]
    model = dropout_network()
    loss, before = batch_loss(model), parameters_of(model)
    with pytest.raises(error, match=message):
        make(model.parameters()).step(lambda: returned(model, loss))
    for now, then in zip(parameters_of(model), before, strict=True):
        assert torch.equal(now, then)


class _StopsInTrials:
    """A loss that raises from its third evaluation on, before it draws a random number."""

    def __init__(self, loss: Loss, error: BaseException):
        self.loss, self.error, self.evaluations = loss, error, 0

    def __call__(self) -> Any:
        self.evaluations += 1
        if self.evaluations >= 3:
            raise self.error
        return self.loss()


ERRORS = [ValueError("out of luck"), RuntimeError("out of luck"), KeyboardInterrupt("out of luck")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@each_search
def test_an_error_in_a_trial_leaves_the_start_of_the_step(make: Make, error: BaseException) -> None:
    model = batch_norm_network()
    optimizer = start_at(make(model.parameters()), 30.0)
    once = copy.deepcopy(model)
    torch.manual_seed(5)
    batch_loss(once)()
    random_state = torch.get_rng_state()

    torch.manual_seed(5)
    with pytest.raises(type(error), match="out of luck"):
        optimizer.step(_StopsInTrials(batch_loss(model), error))
    assert torch.equal(torch.get_rng_state(), random_state), "random numbers"
    for (name, now), expected in zip(
        model.state_dict().items(), once.state_dict().values(), strict=True
    ):
        assert torch.equal(now, expected), name


@each_search
def test_training_goes_on_after_an_interrupted_step(make: Make) -> None:
    model, twin = batch_norm_network(), batch_norm_network()
    optimizer = make(model.parameters())
    torch.manual_seed(5)
    with pytest.raises(KeyboardInterrupt):
        start_at(optimizer, 30.0).step(_StopsInTrials(batch_loss(model), KeyboardInterrupt()))
    torch.manual_seed(6)
    start_at(optimizer, 0.1).step(batch_loss(model))
    torch.manual_seed(6)
    start_at(make(twin.parameters()), 0.1).step(batch_loss(twin))
    for now, expected in zip(parameters_of(model), parameters_of(twin), strict=True):
        assert torch.equal(now, expected)


def test_an_error_of_the_users_in_one_trial_is_not_swallowed() -> None:
    param = torch.nn.Parameter(torch.ones(3))
    calls = []

    def closure() -> torch.Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("the disk is full")
        return param.square().sum()

    with pytest.raises(RuntimeError, match="the disk is full"):
        ALSALS([param]).step(closure)
