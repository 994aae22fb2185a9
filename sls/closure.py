"""Closures: their three forms, which are recognized, and their evaluation.

1. forward only, `lambda: criterion(model(x), y)`: the optimizer runs backward, once per step;
2. PyTorch's standard form (zero_grad, forward, backward, return the loss);
3. a callable with a keyword `backward`, True for forward and backward, False for forward only;
   with a keyword `scale` too, it runs `scale(loss).backward()`, so that it may be used with a
   `torch.amp.GradScaler`; with a keyword `processes` (`sls.accumulate`'s), it is told the
   processes that evaluate the loss together.

A standard closure that skips backward where `torch.is_grad_enabled()` is False costs no more than
the other forms.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import CodeType
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn

from sls.calls import Calls
from sls.distributed import Processes
from sls.frameworks import advice_on_backward
from sls.ranks import Alone
from sls.replay import NoReplay, Replay
from sls.scaling import BACKWARD_WITHOUT_SCALE, NoScale, Scale

Closure = Callable[..., Any]

MISSING_CLOSURE = """\
a line search evaluates the loss several times per step, so step() needs a closure:

    loss = optimizer.step(lambda: criterion(model(inputs), targets))

The optimizer zeroes the gradients and runs backward itself."""

EXPENSIVE_CLOSURE = """\
the closure runs backward() even where gradients are disabled, so every trial of the line search \
pays for a backward pass that is not used. Return the loss without backward(), \
`lambda: criterion(model(inputs), targets)`, or run backward() only if torch.is_grad_enabled()."""


CONSTANT_CLOSURE = """\
the closure returns the same tensor again, a loss computed before: a line search evaluates the \
loss several times per step, at other parameters each time. Compute it inside the closure, \
`lambda: criterion(model(inputs), targets)`."""


class ClosureForms:
    """What an optimizer knows about its closures.

    Closures are usually created anew each step, so they are recognized by their code.

    Attributes:
        processes: those that evaluate the loss together.
    """

    def __init__(self) -> None:
        self.processes = Processes()
        self._need_gradients: set[CodeType | type] = set()
        self._calls: dict[CodeType | type, Calls] = {}
        self._warned = False

    def need_gradients(self, closure: Closure) -> bool:
        """Whether a closure with this code is known to fail where gradients are disabled."""
        return _code(closure) in self._need_gradients

    def learn_need(self, closure: Closure) -> None:
        """Remember that this closure fails where gradients are disabled."""
        self._need_gradients.add(_code(closure))

    def calls(self, closure: Closure) -> Calls:
        """The modules that closures with this code call."""
        return self._calls.setdefault(_code(closure), Calls())

    def warn_of_cost(self, closure: Closure) -> None:
        """Warn, once, that a closure runs backward in trials."""
        if not self._warned:
            self._warned = True
            warnings.warn(
                advice_on_backward(closure) or EXPENSIVE_CLOSURE, UserWarning, stacklevel=2
            )


class Evaluation:
    """The closure of one step, as two functions: loss with gradients, and loss only.

    Call `loss_and_gradients` once, then `loss` any number of times, then `finish`. All of them
    see the same random numbers and buffers; afterwards both are as the first call left them.
    Where several processes train the model together, losses are the means of theirs.

    Args:
        closure: any of the three forms.
        params: the parameters whose `.grad` the step reads.
        forms: what the optimizer knows about its closures.
        replay: gives all evaluations of the step the same random numbers and buffers.
        scale: the scale of the loss for backward.

    Attributes:
        closure: the closure.
        scaled: whether gradients may overflow for the scale alone.
        forwards: the number of forward passes so far, a lower bound where the closure itself
            runs several.
        checks: the number of those that `check` made.
    """

    def __init__(
        self,
        closure: Closure | None,
        params: Sequence[Tensor],
        forms: ClosureForms,
        replay: Replay | NoReplay,
        scale: NoScale | Scale,
    ):
        if closure is None or not callable(closure):
            raise TypeError(MISSING_CLOSURE)
        self.closure = closure
        self._params = params
        self._forms = forms
        self._calls = forms.calls(closure)
        self._takes_backward = _has_keyword(closure, "backward")
        self._takes_scale = self._takes_backward and _has_keyword(closure, "scale")
        self._takes_processes = self._takes_backward and _has_keyword(closure, "processes")
        self._replay = replay
        self._processes = forms.processes
        self._scale = scale
        self.scaled = scale.used
        self.forwards = 0
        self.checks = 0
        self._returned: ref[Tensor] | None = None

    def loss_and_gradients(self) -> Tensor:
        """The detached loss; afterwards `.grad` holds its gradients and nothing else.

        Raises:
            TypeError: the closure returns no scalar.
            RuntimeError: the loss depends on no parameter of the optimizer or was computed before,
                the closure ran backward on a loss that it should have scaled, or the model is
                wrapped for many processes in a way that is not supported.
        """
        loss = self._first_evaluation()
        while self._replay.must_repeat(self._calls, self._params):
            loss = self._first_evaluation()
        self._scale.unscale()
        return self.ranks.mean(loss)

    def _first_evaluation(self) -> Tensor:
        self.forwards = 0
        for param in self._params:
            param.grad = None
        see = self._processes.watch(self._params, again=not isinstance(self._replay, NoReplay))
        with self._replay.first_evaluation(self._calls, see), torch.enable_grad():
            loss = self._call(backward=True)
            self._processes.settle()
            if all(param.grad is None for param in self._params):
                self._backward(loss)
            elif self.scaled and not self._takes_scale:
                raise RuntimeError(BACKWARD_WITHOUT_SCALE)
        self._processes.check_gradients()
        return loss.detach()

    @property
    def modules(self) -> Iterator[nn.Module]:
        """The modules that the first evaluation called, and their submodules."""
        return self._calls.modules

    @property
    def ranks(self) -> Alone:
        """What combines the numbers of all processes, after the first evaluation."""
        return self._processes.ranks

    def finish(self) -> None:
        """Leave random numbers and buffers as one evaluation leaves them; update the scale."""
        _forget_cast_parameters()
        self._replay.finish()
        self._scale.update()

    def loss(self) -> Tensor:
        """The detached loss alone; the gradients of `loss_and_gradients` stay as they are."""
        gradients = [param.grad for param in self._params]
        for param in self._params:
            param.grad = None
        try:
            return self.ranks.mean(self._trial().detach())
        finally:
            self._processes.finish()
            for param, gradient in zip(self._params, gradients, strict=True):
                param.grad = gradient

    def check(self) -> Tensor:
        """`loss`, for a look at whether it repeats, which the budget of a search does not pay."""
        self.checks += 1
        return self.loss()

    def _trial(self) -> Tensor:
        if self._forms.need_gradients(self.closure):
            return self._trial_with_gradients()
        try:
            with torch.no_grad():
                self._rewind()
                loss = self._call(backward=False)
        except RuntimeError as error:
            # A standard closure's backward() cannot run without a graph, and torch reports it in
            # these words only.
            if "does not require grad" not in str(error):
                raise
            loss = self._trial_with_gradients()
            self._forms.learn_need(self.closure)
        if any(param.grad is not None for param in self._params):
            self._forms.warn_of_cost(self.closure)
        return loss

    def _trial_with_gradients(self) -> Tensor:
        with self._processes.without_reduction(), torch.enable_grad():
            self._rewind()
            return self._call(backward=False)

    def _rewind(self) -> None:
        self._replay.rewind()
        self._processes.rewind()

    def _call(self, *, backward: bool) -> Tensor:
        self.forwards += 1
        _forget_cast_parameters()
        keywords: dict[str, Any] = {"backward": backward} if self._takes_backward else {}
        if self._takes_scale:
            keywords["scale"] = self._scale.scale
        if self._takes_processes:
            keywords["processes"] = self._processes
        loss = self.closure(**keywords)
        if isinstance(loss, Tensor):
            if self._returned is not None and self._returned() is loss:
                raise RuntimeError(CONSTANT_CLOSURE)
            self._returned = ref(loss)
        if isinstance(loss, (int, float)):
            # As precise as the parameters, since the loss was most likely computed like them.
            precision = torch.promote_types(self._params[0].dtype.to_real(), torch.float32)
            return torch.tensor(float(loss), dtype=precision)
        return _scalar(loss)

    def _backward(self, loss: Tensor) -> None:
        if not loss.requires_grad:
            raise RuntimeError(
                "the closure's loss depends on no parameter of this optimizer: it has no graph, "
                "and backward() inside the closure left no gradient"
            )
        try:
            self._scale.scale(loss).backward()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            if "backward through the graph a second time" not in str(error):
                raise
            raise RuntimeError(CONSTANT_CLOSURE) from error
        if all(param.grad is None for param in self._params):
            raise RuntimeError("the closure's loss depends on no parameter of this optimizer")


def _scalar(loss: Any) -> Tensor:
    if not isinstance(loss, Tensor):
        raise TypeError(f"the closure must return the loss, a scalar tensor; got {loss!r:.60}")
    if loss.numel() != 1:
        raise TypeError(f"the closure must return a scalar loss; its shape is {tuple(loss.shape)}")
    return loss.reshape(())


def _code(closure: Closure) -> CodeType | type:
    code = getattr(closure, "__code__", None)
    return code if isinstance(code, CodeType) else type(closure)


def _forget_cast_parameters() -> None:
    """Drop autocast's copies of the parameters in low precision.

    They live until the outermost `torch.autocast` ends. If that is around the whole step, a trial
    would otherwise see the parameters of the first evaluation.
    """
    torch.clear_autocast_cache()


def _has_keyword(closure: Closure, name: str) -> bool:
    function = closure if hasattr(closure, "__code__") else type(closure).__call__
    code = getattr(function, "__code__", None)
    if isinstance(code, CodeType) and not (_is_described(closure) or _is_described(function)):
        # What `inspect` would find, which takes as long as a small model's trial.
        named = slice(code.co_posonlyargcount, code.co_argcount + code.co_kwonlyargcount)
        return name in code.co_varnames[named]
    try:
        parameter = inspect.signature(closure).parameters.get(name)
    except (TypeError, ValueError):
        return False
    return parameter is not None and parameter.kind in (
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
    )


def _is_described(function: Any) -> bool:
    """Whether its signature is said to be another than its code's, as by `functools.wraps`."""
    return hasattr(function, "__wrapped__") or hasattr(function, "__signature__")
