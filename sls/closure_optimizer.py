"""The base of all optimizers: a step with a closure, whichever rule chooses its size.

    evaluate loss and gradients → `take_step` → record

All state lives in `state` and `param_groups`; the numbers of the optimizer as a whole are under
"search_state" in the first group.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from sls import settings as checks
from sls.bounds import check_type
from sls.closure import Closure, ClosureForms, Evaluation
from sls.hints import Hints
from sls.record import Ended
from sls.replay import NoReplay, Replay
from sls.step_sizes import anneal_factor

Record = TypeVar("Record", bound=Ended)


class ClosureOptimizer(Optimizer, Generic[Record]):
    """An optimizer that evaluates the loss itself and chooses the size of its step.

    Subclasses take the step. `group["lr"]` is the step's size, for readers only: writing to it
    changes nothing.

    Args:
        params: parameters, (name, parameter) pairs, or parameter groups.
        settings: all settings, checked, `init_step`, `total_steps` and `anneal` among them.
        search_state: the plain numbers to remember, as they are before the first step.

    Attributes:
        last_step: the record of the last step, or None before the first.
        hints: the warnings, each given once.

    Raises:
        ValueError: a setting of a group is out of range, no parameter, or one in two groups.
    """

    def __init__(self, params: ParamsT, settings: dict[str, Any], search_state: dict[str, Any]):
        self._forms = ClosureForms()
        self.hints = Hints(type(self).__name__)
        self.last_step: Record | None = None
        super().__init__(params, settings)
        first, *others = self.param_groups
        first["search_state"] = search_state
        for group in [first, *others]:
            group["lr"] = first["init_step"]

    @abstractmethod
    def take_step(self, evaluation: Evaluation, loss: Tensor) -> Record:
        """Take the step, after loss and gradients; runs without gradients.

        Args:
            evaluation: the mini-batch's loss at wherever the parameters are.
            loss: its loss at the start of the step.
        """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a parameter group; it may have its own `betas`, `eps` and `weight_decay`.

        Raises:
            ValueError: an unknown or out-of-range setting, one that all groups share, or a
                parameter that is there already.
        """
        where = f"parameter group {len(self.param_groups)}"
        first = self.param_groups[0] if self.param_groups else self.defaults
        checks.check_group(param_group, self.defaults, first, where)
        super().add_param_group(param_group)
        params = self.param_groups[-1]["params"]
        try:
            if len(set(params)) < len(params):
                raise ValueError(f"{where} holds a parameter twice")
            check_type(self.param_groups[-1], (param.dtype for param in params), where)
        except ValueError:
            self.param_groups.pop()
            raise
        if "lr" in first:
            self.param_groups[-1]["lr"] = first["lr"]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a `state_dict`; training goes on as if it had not stopped, bit for bit.

        Raises:
            ValueError: the state is that of another optimizer, or of other groups.
        """
        saved = state_dict["param_groups"][0] if state_dict.get("param_groups") else {}
        missing = sorted({*self.defaults, "search_state"} - set(saved))
        if missing:
            raise ValueError(
                f"this state_dict is not {type(self).__name__}'s: it lacks {', '.join(missing)}"
            )
        super().load_state_dict(state_dict)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_forms" not in self.__dict__:  # unpickled or deep-copied
            self._forms = ClosureForms()
            self.hints = Hints(type(self).__name__)
            self.last_step = None

    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore[override]
        """Evaluate the mini-batch's loss and gradients, choose a step and take it.

        ```text
        loss = optimizer.step(lambda: criterion(model(inputs), targets))
        ```

        Gradients are zeroed and computed here. All evaluations of the closure in one step see the
        same random numbers and buffers.

        Args:
            closure: evaluates the loss of one mini-batch, a scalar tensor: forward only,
                PyTorch's standard form, or with a keyword `backward` (see `sls.closure`).

        Returns:
            The loss before the step, a detached scalar. `last_step` has everything else.

        Raises:
            TypeError: no closure, or one that returns no scalar.
            RuntimeError: the loss depends on no parameter, or a gradient is sparse.
        """
        params = [param for group in self.param_groups for param in group["params"]]
        evaluation = Evaluation(closure, params, self._forms, self.replay(params))
        loss = evaluation.loss_and_gradients()
        try:
            with torch.no_grad():
                self.last_step = self.take_step(evaluation, loss)
        finally:
            evaluation.finish()
        self.hints.see(self.last_step)
        return loss

    def replay(self, params: Sequence[Tensor]) -> Replay | NoReplay:
        """The replay of random numbers and buffers for the next step."""
        return Replay(param.device for param in params)

    def report_step_size(self, step_size: float) -> None:
        """Write the accepted step to `group["lr"]`, where loggers look for it."""
        for group in self.param_groups:
            group["lr"] = step_size

    def anneal_factor(self, k: int) -> float:
        """The factor on the size of step k; warns in the first step beyond `total_steps`."""
        settings = self.param_groups[0]
        total_steps = settings["total_steps"]
        if total_steps is not None and k == total_steps:
            warnings.warn(
                f"step() was called more often than total_steps={total_steps}: "
                "the annealed step is 0 from here on",
                UserWarning,
                stacklevel=6,
            )
        return anneal_factor(k, total_steps, settings["anneal"])
