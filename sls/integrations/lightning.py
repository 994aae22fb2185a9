"""Lightning: a mixin that hides a search's trials from logs, metrics and hooks.

It imports neither `lightning` nor `pytorch_lightning` and works with the modules of both.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sls.closure_optimizer import ClosureOptimizer
from sls.random_numbers import RandomState, random_state, set_random_state

MIXIN_FIRST = """\
LineSearchModule must come before LightningModule, whose hooks it overrides:

    class {name}(LineSearchModule, LightningModule):"""

CALL_SUPER = """\
LineSearchModule has not seen the batches of this step. If your module overrides {hook}, call the \
mixin's too:

    super().{hook}({arguments})"""

CLIP_BY_NORM = """\
a line search needs the slope along the gradient that it steps on, and clipping by value changes \
its direction: use Trainer(gradient_clip_val={value}, gradient_clip_algorithm="norm")"""


class LineSearchModule:
    """A mixin for a LightningModule whose optimizer is one of `sls`.

    ```text
    class Model(LineSearchModule, LightningModule):
        def configure_optimizers(self):
            return PeakSLS(self.parameters(), total_steps=self.trainer.estimated_stepping_batches)
    ```

    The rest of the module stays as it is. A step's first evaluation is Lightning's own, with all
    hooks; further evaluations call `training_step` again, and there

    - nothing is logged, and torchmetrics and lists and attributes of the module keep their values:
      the logged loss is the one before the step, and a metric sees each batch once;
    - there is no backward pass, and no hook is called;
    - `accumulate_grad_batches=n` evaluates all n micro-batches, each with its own random numbers.
      Their gradients are Lightning's, computed once;
    - `gradient_clip_val` is the step's `max_grad_norm`, so that slopes stay those of the gradient
      before clipping;
    - `precision="16-mixed"` hands Lightning's scaler to the step. Then, and only then,
      `on_before_optimizer_step` is not called.

    Other optimizers are left to Lightning. Overrides of `on_train_batch_start`,
    `on_train_batch_end`, `optimizer_step`, `configure_gradient_clipping` and `log` must call
    `super()`'s. What `training_step` writes by other ways than `self.log`, as by `self.logger`, is
    written in every evaluation.

    Raises:
        TypeError: LightningModule comes first among the bases; in a step, `training_step` returns
            no loss, or takes `dataloader_iter`.
        ValueError: gradients are clipped by value.
        RuntimeError: an overridden hook does not call this one.

    Examples:
        >>> from sls.integrations.lightning import LineSearchModule
        >>> class LightningModule:  # lightning's
        ...     pass
        >>> class Model(LineSearchModule, LightningModule):
        ...     pass
    """

    _micro_batches: Sequence[_MicroBatch] = ()
    """The batches since the last step; the last one's loss is not known yet."""
    _in_trial = False

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        before = cls.__mro__[: cls.__mro__.index(LineSearchModule)]
        if any(parent.__name__ == "LightningModule" for parent in before):
            raise TypeError(MIXIN_FIRST.format(name=cls.__name__))

    # ------------------------------------------------------------------------------- the hooks

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> Any:
        """Keep the batch until the step."""
        trainer = _trainer(self)
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self._micro_batches = []
        state = random_state([_device(self)]) if trainer.accumulate_grad_batches > 1 else {}
        batches = [*self._micro_batches, _MicroBatch(_shallow(batch), batch_idx, state)]
        self._micro_batches = batches
        return super().on_train_batch_start(batch, batch_idx)  # type: ignore[misc]

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Keep the loss of a micro-batch after which no step is taken."""
        if self._micro_batches:
            loss = outputs.get("loss") if isinstance(outputs, Mapping) else None
            if loss is None:  # training_step skipped it
                self._micro_batches = self._micro_batches[:-1]
            else:
                self._micro_batches[-1].loss = loss
        super().on_train_batch_end(outputs, batch, batch_idx)  # type: ignore[misc]

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        """Take a step whose trials leave no trace."""
        ours = getattr(optimizer, "optimizer", optimizer)
        step = super().optimizer_step  # type: ignore[misc]
        if not isinstance(ours, ClosureOptimizer):
            step(epoch, batch_idx, optimizer, optimizer_closure)
            return
        closure = self._closure(ours, batch_idx)
        trainer = _trainer(self)
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        with _own_clipping(ours):
            if scaler is None:
                with closure.in_place_of_lightnings(ours):
                    step(epoch, batch_idx, optimizer, optimizer_closure)
            else:  # Lightning would call the closure once, and the step without it
                self.configure_gradient_clipping(
                    ours, trainer.gradient_clip_val, trainer.gradient_clip_algorithm
                )
                closure.with_backward = optimizer_closure
                ours.step(closure, scaler=scaler)
        self._micro_batches = []

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Let this step clip by norm, with the slope of the gradient before clipping."""
        ours = getattr(optimizer, "optimizer", optimizer)
        if not isinstance(ours, ClosureOptimizer):
            clip = super().configure_gradient_clipping  # type: ignore[misc]
            clip(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val:
            if gradient_clip_algorithm == "value":
                raise ValueError(CLIP_BY_NORM.format(value=gradient_clip_val))
            for group in ours.param_groups:
                group["max_grad_norm"] = float(gradient_clip_val)

    def log(self, *args: Any, **kwargs: Any) -> None:
        """Log as Lightning does, but nothing in trials."""
        if not self._in_trial:
            super().log(*args, **kwargs)  # type: ignore[misc]

    # ------------------------------------------------------------------------------ evaluation

    def _closure(self, optimizer: ClosureOptimizer[Any], batch_idx: int) -> _StepClosure:
        batches = self._micro_batches
        if not batches or batches[-1].batch_idx != batch_idx:
            arguments = "batch, batch_idx"
            raise RuntimeError(CALL_SUPER.format(hook="on_train_batch_start", arguments=arguments))
        if any(micro_batch.loss is None for micro_batch in batches[:-1]):
            arguments = "outputs, batch, batch_idx"
            raise RuntimeError(CALL_SUPER.format(hook="on_train_batch_end", arguments=arguments))
        return _StepClosure(self, optimizer, batches)

    @contextmanager
    def _trial(self) -> Iterator[None]:
        """A context that leaves no trace and logs nothing."""
        with _no_trace(self):
            self._in_trial = True
            yield

    def _loss_in_trial(self, micro_batch: _MicroBatch) -> Tensor:
        """The loss of a micro-batch as Lightning would compute it, without a trace."""
        trainer = _trainer(self)
        arguments = _arguments(self.training_step, micro_batch)  # type: ignore[attr-defined]
        with self._trial():
            output = trainer.strategy.training_step(*arguments)
        loss: Tensor = output["loss"] if isinstance(output, Mapping) else output
        return loss / int(trainer.accumulate_grad_batches)


@dataclass
class _MicroBatch:
    """A batch, its number, the random generators before it, and its loss at the start of the step.

    The loss is Lightning's, divided by `accumulate_grad_batches`. There is no state of generators
    where nothing is accumulated.
    """

    batch: Any
    batch_idx: int
    random_state: RandomState
    loss: Tensor | None = None


class _StepClosure:
    """A closure with a keyword `backward` over the micro-batches of one step.

    Lightning has run backward on all but the last when the step begins; their gradients are kept
    here until the first evaluation adds those of the last.
    """

    def __init__(
        self,
        module: LineSearchModule,
        optimizer: ClosureOptimizer[Any],
        micro_batches: Sequence[_MicroBatch],
    ):
        self._module = module
        *self._earlier, self._last = micro_batches
        self._params = [param for group in optimizer.param_groups for param in group["params"]]
        self._gradients = [param.grad if self._earlier else None for param in self._params]
        for param in self._params:
            param.grad = None
        self.with_backward: Any = None
        self._evaluated = False

    @contextmanager
    def in_place_of_lightnings(self, optimizer: ClosureOptimizer[Any]) -> Iterator[None]:
        """A context in which `optimizer.step` evaluates this closure, and Lightning's in it."""

        def replace(
            _optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]]:
            self.with_backward = kwargs["closure"]
            return args, {**kwargs, "closure": self}

        handle = optimizer.register_step_pre_hook(replace)
        try:
            yield
        finally:
            handle.remove()

    def __call__(self, backward: bool, scale: Any = None) -> Tensor:
        """The loss of all micro-batches; Lightning's backward scales it for float16."""
        return self._first_loss() if backward else self._trial_loss()

    def _first_loss(self) -> Tensor:
        for param, gradient in zip(self._params, self._gradients, strict=True):
            # A copy, since a step evaluates compiled code twice when it sees it first.
            param.grad = None if gradient is None else gradient.clone()
        with self._module._trial() if self._evaluated else nullcontext():
            loss = self.with_backward()
        self._evaluated = True
        if loss is None:
            raise TypeError(f"training_step returned no loss for batch {self._last.batch_idx}")
        return _sum([*(x.loss for x in self._earlier if x.loss is not None), loss.detach()])

    def _trial_loss(self) -> Tensor:
        losses = []
        if self._earlier:
            here = random_state([_device(self._module)])
            for micro_batch in self._earlier:
                set_random_state(micro_batch.random_state)
                losses.append(self._module._loss_in_trial(micro_batch))
            set_random_state(here)
        return _sum([*losses, self._module._loss_in_trial(self._last)])


def _sum(losses: Sequence[Tensor]) -> Tensor:
    return torch.stack([loss.reshape(()) for loss in losses]).sum() if losses[1:] else losses[0]


def _trainer(module: Any) -> Any:
    return module.trainer


def _device(module: Any) -> torch.device:
    return torch.device(module.device)


def _shallow(batch: Any) -> Any:
    """A copy of a dictionary or list, so that `batch.pop("labels")` is not seen by the next."""
    return copy.copy(batch) if isinstance(batch, (MutableMapping, list)) else batch


def _arguments(training_step: Any, micro_batch: _MicroBatch) -> tuple[Any, ...]:
    """The arguments that Lightning calls `training_step` with."""
    parameters = inspect.signature(training_step).parameters
    if "dataloader_iter" in parameters:
        raise TypeError(
            "training_step(dataloader_iter) takes a new batch in each call, and a line search "
            "evaluates one batch several times: write training_step(self, batch, batch_idx)"
        )
    batch = _shallow(micro_batch.batch)
    several = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters.values())
    return (batch, micro_batch.batch_idx) if several or len(parameters) > 1 else (batch,)


# ------------------------------------------------------------------------------ leaving no trace


@contextmanager
def _own_clipping(optimizer: ClosureOptimizer[Any]) -> Iterator[None]:
    """A context after which the optimizer clips as it did: the Trainer's setting is not its own."""
    own = [group["max_grad_norm"] for group in optimizer.param_groups]
    try:
        yield
    finally:
        for group, value in zip(optimizer.param_groups, own, strict=True):
            group["max_grad_norm"] = value


@contextmanager
def _no_trace(module: Any) -> Iterator[None]:
    """A context after which attributes and lists of the module and its metrics are as before."""
    kept = [_Kept(module), *(_Kept(metric, tensors=True) for metric in _metrics(module))]
    try:
        yield
    finally:
        for one in kept:
            one.restore()


def _metrics(module: nn.Module) -> list[nn.Module]:
    torchmetrics = sys.modules.get("torchmetrics")  # Lightning imports it
    if torchmetrics is None:
        return []
    return [part for part in module.modules() if isinstance(part, torchmetrics.Metric)]


class _Kept:
    """The attributes of an object, with the contents of lists and, if wanted, of tensors."""

    def __init__(self, owner: Any, *, tensors: bool = False):
        self._owner = owner
        self._attributes = dict(vars(owner))
        values = list(self._attributes.values())
        self._lists = [(value, list(value)) for value in values if isinstance(value, list)]
        self._tensors = [
            (value, value.detach().clone())
            for value in values
            if tensors and isinstance(value, Tensor)
        ]

    @torch.no_grad()
    def restore(self) -> None:
        """Put all of them back; attributes that are new go."""
        attributes = vars(self._owner)
        attributes.clear()
        attributes.update(self._attributes)
        for values, before in self._lists:
            values[:] = before
        for tensor, clone in self._tensors:
            tensor.copy_(clone)
