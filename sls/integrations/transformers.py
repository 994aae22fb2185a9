"""Hugging Face's Trainer with a line search: `LineSearchTrainer`.

Where the Trainer would run backward on each micro-batch, this one keeps them; with the last of them
it takes the whole step, by a closure over all. Its later call of the optimizer does nothing.
"""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from sls.adam_sls import AdamSLS
from sls.alsals import ALSALS
from sls.closure_optimizer import ClosureOptimizer
from sls.peak_sls import PeakSLS
from sls.salsa import SaLSA
from sls.sls import SLS

try:
    import accelerate  # noqa: F401 - the Trainer needs it, and would say so only when it is built
    from transformers import Trainer
except ImportError as error:
    raise ImportError(
        "sls.integrations.transformers needs transformers and accelerate: "
        "pip install 'transformers[torch]'"
    ) from error

BY_NAME: Mapping[str, type[ClosureOptimizer[Any]]] = {
    "peak_sls": PeakSLS,
    "alsals": ALSALS,
    "adam_sls": AdamSLS,
    "salsa": SaLSA,
    "sls": SLS,
}
"""The optimizers that `LineSearchTrainer` builds by name."""

UNUSED = ("learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "optim")
"""TrainingArguments that choose a learning rate or another optimizer."""

MicroBatch = tuple[Any, Any]
"""A micro-batch, and the number of items in all micro-batches of its step."""


class LineSearchTrainer(Trainer):  # type: ignore[misc]
    """Hugging Face's Trainer with a line search in place of optimizer and schedule.

    ```text
    for each optimizer step of the Trainer do
        f(w) ← Σ loss of micro-batch i                scaled as by Trainer.training_step
        one step of the line search on f              backward in the first evaluation only
        learning_rate ← the step that was taken       in the Trainer's logs
    ```

    All else is the Trainer's: data, mixed precision, accumulation, evaluation, callbacks,
    checkpoints. Tested with transformers 5.24 and accelerate 1.15.

    - **TrainingArguments.** `max_steps` or `num_train_epochs` give `total_steps`; `max_grad_norm`,
      `weight_decay`, `adam_beta1`, `adam_beta2` and `adam_epsilon` are used. There is no learning
      rate and no schedule: those arguments are named in one warning if they were set.
    - **Clipping** is the optimizer's, with slopes of the unclipped gradient. An optimizer that
      you built keeps its own `max_grad_norm`, and takes the argument's if it has none.
      `grad_norm` in the logs is the norm before clipping.
    - **Logs** have `learning_rate`, the step that was taken in units of the parameters over the
      direction (0 if it failed), and `optimizer.log()`: "sls/step_size", "sls/trials",
      "sls/forwards", "sls/status", … of the last step. `loss` is that before the steps; trials are
      not in it.
    - **Callbacks.** `on_pre_optimizer_step` comes when gradients are there, clipped, and the
      parameters have moved already.
    - **A `compute_loss` or forward hook of your own** that keeps metrics runs in trials, too: skip
      them where `trainer.in_trial` is true.
    - **Averaged weights** (`averaging=True` of `PeakSLS`): evaluations during training are in the
      average. Checkpoints have the current weights, and the average in `optimizer.pt`, so that
      they resume to the bit. At the end, and after `load_best_model_at_end`, the model *is* the
      average, that of the best checkpoint.
    - **A second `train()`** begins with a new optimizer, unless you built it.
    - With float16 the Trainer's GradScaler is the step's.

    Args:
        *args: as the Trainer's.
        line_search: "peak_sls" (the default), "alsals", "adam_sls", "salsa" or "sls".
        line_search_settings: settings of that optimizer, before those of TrainingArguments.
        **kwargs: as the Trainer's. `optimizer_cls_and_kwargs=(ALSALS, {"c": 0.5})` or
            `optimizers=(optimizer, None)` in place of a name; `optimizers=(optimizer, scheduler)`
            for a search around a torch optimizer and a scheduler of that one.

    Attributes:
        line_search: the optimizer, without Accelerate's wrapper.
        in_trial: whether a trial is being evaluated.

    Raises:
        ValueError: an unknown name, a name beside an optimizer, or, in `train`, DeepSpeed, or
            averages of a best checkpoint that is not saved (`save_only_model`).
        TypeError: in `train`, an optimizer that is none of this package.

    Examples:
        >>> import tempfile
        >>> import torch
        >>> from transformers import TrainingArguments
        >>> from sls.integrations.transformers import LineSearchTrainer
        >>> class Line(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.slope = torch.nn.Parameter(torch.zeros(()))
        ...
        ...     def forward(self, x, labels):
        ...         return {"loss": (self.slope * x - labels).square().mean()}
        >>> data = [{"x": float(x), "labels": 3.0 * x} for x in range(8)]
        >>> folder = tempfile.TemporaryDirectory()
        >>> args = TrainingArguments(
        ...     folder.name, num_train_epochs=100, report_to="none", disable_tqdm=True,
        ...     use_cpu=True, save_strategy="no", logging_strategy="no",
        ... )
        >>> trainer = LineSearchTrainer(Line(), args, train_dataset=data)
        >>> output = trainer.train()  # doctest: +ELLIPSIS
        {'train_runtime': ...}
        >>> print(f"{trainer.model.slope.item():.1f}")
        3.0
        >>> folder.cleanup()
    """

    optimizer: Any
    optimizer_cls_and_kwargs: Any
    lr_scheduler: Any

    def __init__(
        self,
        *args: Any,
        line_search: str | None = None,
        line_search_settings: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        self._name, self._settings = line_search, dict(line_search_settings or {})
        self._micro_batches: list[MicroBatch] = []
        self._grad_norm = torch.tensor(0.0)
        self.in_trial = False
        super().__init__(*args, **kwargs)
        self._given = self.optimizer is not None
        self._class_given = self.optimizer_cls_and_kwargs
        self._check_arguments()

    def _check_arguments(self) -> None:
        if self._name is not None and self._name not in BY_NAME:
            names = ", ".join(map(repr, BY_NAME))
            raise ValueError(f"line_search must be one of {names}; got {self._name!r}")
        chosen = self._name is not None or self._settings
        if chosen and (self._given or self._class_given is not None):
            raise ValueError(
                "line_search and line_search_settings are for the optimizer that this Trainer "
                "builds by name; optimizers= and optimizer_cls_and_kwargs= bring another one"
            )
        fields = {field.name: field.default for field in dataclasses.fields(self.args)}
        unused = [
            f"{name}={getattr(self.args, name)!r}"
            for name in UNUSED
            if name in fields and getattr(self.args, name) != fields[name]
        ]
        if unused:
            warnings.warn(
                f"LineSearchTrainer finds the step itself and does not use {', '.join(unused)} "
                "of TrainingArguments",
                UserWarning,
                stacklevel=3,
            )

    # --------------------------------------------------------------------------- the optimizer

    @property
    def line_search(self) -> ClosureOptimizer[Any]:
        """The optimizer, without Accelerate's wrapper."""
        ours: ClosureOptimizer[Any] = getattr(self.optimizer, "optimizer", self.optimizer)
        return ours

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """Build the optimizer, unless it was given; the Trainer calls this when training begins."""
        if self.is_deepspeed_enabled:
            raise ValueError(
                "LineSearchTrainer does not work with DeepSpeed, whose engine runs backward and "
                "the optimizer itself"
            )
        self._micro_batches = []
        if not self._given:
            self.optimizer = None
            self.optimizer_cls_and_kwargs = self._class_and_settings()
        super().create_optimizer(*args, **kwargs)
        optimizer = self.line_search
        if not isinstance(optimizer, ClosureOptimizer):
            raise TypeError(
                f"LineSearchTrainer needs an optimizer of sls, not {type(optimizer).__name__}; "
                f"put a search around it, PeakSLS.around({type(optimizer).__name__}(…)), or use "
                "Trainer"
            )
        self._take_over_clipping(optimizer)
        self._check_best_average()
        return self.optimizer

    def _class_and_settings(self) -> tuple[type, dict[str, Any]]:
        given = self._class_given or (BY_NAME[self._name or "peak_sls"], self._settings)
        optimizer, settings = given
        if not issubclass(optimizer, ClosureOptimizer):
            return optimizer, settings  # refused, once it is built
        ours: dict[str, Any] = {"total_steps": self.state.max_steps or None}
        if "betas" in inspect.signature(optimizer).parameters:
            ours["betas"] = (self.args.adam_beta1, self.args.adam_beta2)
            ours["eps"] = self.args.adam_epsilon
        return optimizer, {**ours, **settings}

    def _take_over_clipping(self, optimizer: ClosureOptimizer[Any]) -> None:
        for group in optimizer.param_groups:
            if group["max_grad_norm"] is None and self.args.max_grad_norm:
                group["max_grad_norm"] = float(self.args.max_grad_norm)

    def create_scheduler(self, *args: Any, **kwargs: Any) -> Any:
        """The scheduler that was given, else one that leaves the step alone."""
        if self.lr_scheduler is None:
            self.lr_scheduler = _StepSizes(self)
        return self.lr_scheduler

    # -------------------------------------------------------------------------------- the step

    def training_step(
        self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None
    ) -> Tensor:
        """Keep a micro-batch; with the last of a step, take the step.

        Returns:
            With the last micro-batch the loss of all of them before the step, as the Trainer
            scales it; with the others 0.
        """
        self._micro_batches.append((inputs, num_items_in_batch))
        if not self.accelerator.sync_gradients:
            return torch.zeros((), device=self.args.device)
        micro_batches, self._micro_batches = self._micro_batches, []

        def closure(*, backward: bool, scale: object = None) -> Tensor:
            # `scale` is not needed: the Trainer's backward scales by the same scaler.
            return self._evaluate_all(model, micro_batches, backward)

        loss = self.line_search.step(closure, scaler=self.accelerator.scaler)
        # The Trainer's own call comes next: the step has been taken.
        self.optimizer.step = _do_nothing
        return loss

    def _evaluate_all(
        self, model: nn.Module, micro_batches: Sequence[MicroBatch], backward: bool
    ) -> Tensor:
        """The loss of all micro-batches, as the Trainer scales it; with gradients or without."""
        losses = []
        for i, (inputs, num_items_in_batch) in enumerate(micro_batches):
            last = i == len(micro_batches) - 1
            with self._with_gradients(model, last) if backward else self._without_gradients():
                losses.append(super().training_step(model, inputs, num_items_in_batch))
        if backward:
            self._grad_norm = self._norm_of_gradients(model)
        return torch.stack(losses).sum()

    def _with_gradients(self, model: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Processes exchange gradients with the last micro-batch only."""
        return nullcontext() if last else self.accelerator.no_sync(model)

    @contextmanager
    def _without_gradients(self) -> Iterator[None]:
        """A trial: the Trainer's training step without its backward."""
        self.in_trial = True
        self.accelerator.backward = _do_nothing
        try:
            yield
        finally:
            del self.accelerator.backward
            self.in_trial = False

    # -------------------------------------------------------------------------------- clipping

    def _norm_of_gradients(self, model: nn.Module) -> Tensor:
        gradients = [param.grad for param in model.parameters() if param.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        scaler = self.accelerator.scaler
        return norm if scaler is None else norm / scaler.scale(torch.ones_like(norm))

    def _clip_grad_norm(self, model: nn.Module) -> Tensor:
        """The norm before clipping; the optimizer has clipped."""
        return self._grad_norm

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Tensor:
        return self._grad_norm

    # -------------------------------------------------------------------------------- the logs

    def log(self, logs: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        """Log; beside a training loss also what the last step did."""
        if "learning_rate" in logs and (last := self.line_search.log()):
            logs = {**logs, **last, "learning_rate": last["sls/step_taken"]}
        super().log(logs, *args, **kwargs)

    # ----------------------------------------------------------------------------- the average

    @property
    def _averaging(self) -> PeakSLS | None:
        """The optimizer, if it averages the weights."""
        ours = self.line_search
        return ours if isinstance(ours, PeakSLS) and ours.averages else None

    def _check_best_average(self) -> None:
        if self._averaging and self.args.load_best_model_at_end and self.args.save_only_model:
            raise ValueError(
                "with averaging, load_best_model_at_end needs the average, which is in the "
                "optimizer's state: set save_only_model=False"
            )

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate, during training in averaged weights if the optimizer averages."""
        averaging = self._averaging if self.is_in_train else None
        with nullcontext() if averaging is None else averaging.averaged():
            return super().evaluation_loop(*args, **kwargs)

    def _finalize_training(self, *args: Any, **kwargs: Any) -> Any:
        self._keep_average()
        return super()._finalize_training(*args, **kwargs)

    def _load_best_model(self) -> None:
        super()._load_best_model()
        if self._averaging:
            self._load_optimizer_and_scheduler(self.state.best_model_checkpoint)
            self._keep_average()

    def _keep_average(self) -> None:
        """Make the average the model's weights, at the end of training."""
        averaging = self._averaging
        if averaging is None:
            return
        params = [param.detach() for param in averaging.all_params]
        with averaging.averaged():
            averages = [param.clone() for param in params]
        torch._foreach_copy_(params, averages)


class _StepSizes:
    """The Trainer's scheduler: it changes nothing, and knows the step for who asks.

    Args:
        trainer: whose optimizer is read.
    """

    def __init__(self, trainer: LineSearchTrainer):
        self._trainer = trainer

    def step(self, *args: Any) -> None:
        """Do nothing: the line search finds the step, and anneals it."""

    def get_last_lr(self) -> list[float]:
        """The step of each parameter group, before annealing."""
        return [group["lr"] for group in self._trainer.line_search.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Empty: the state is the optimizer's."""
        return {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Do nothing."""


def _do_nothing(*args: Any, **kwargs: Any) -> None:
    """In place of a call that is not wanted."""
