"""The base of all line-search optimizers: one step, put together from its parts.

    evaluate loss and gradients → direction and slope → search → move, decay, remember

What differs between optimizers is a direction (`directions`), a condition (`conditions`) and how
the start of a search grows (`step_sizes`). All state lives in `state` and `param_groups`.
"""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from sls import settings as checks
from sls.arithmetic import Tensors
from sls.closure import Closure, ClosureForms, Evaluation
from sls.conditions import Condition, Memory, rounding
from sls.directions import Direction
from sls.parameters import GroupTensors
from sls.record import Status, StepRecord
from sls.search import Outcome, SearchResult, backtrack
from sls.settings import SharedSettings
from sls.slopes import exact_slope, finite_difference_slope
from sls.state import SearchState
from sls.step_sizes import anneal_factor, search_is_due, search_start

_FAILURE = {
    Outcome.EXHAUSTED: Status.EXHAUSTED,
    Outcome.NONFINITE: Status.NONFINITE_TRIALS,
}
_SUCCESS = {Outcome.ACCEPTED: Status.ACCEPTED, Outcome.FLOOR: Status.FLOOR}


class LineSearch(Optimizer):
    """An optimizer whose step is found by backtracking on the mini-batch's own loss.

    Subclasses name a direction and a condition. `group["lr"]` is the accepted step, for readers
    only: writing to it changes nothing.

    Args:
        params: parameters, (name, parameter) pairs, or parameter groups.
        own: the settings that this optimizer alone has.
        shared: those that all have, as far as the user gave them.

    Raises:
        TypeError: an unknown setting.
        ValueError: a setting that is out of range, no parameter, or one in two groups.
    """

    fallback_step: float | None = None
    """The step taken where a search is exhausted; None: no step."""

    def __init__(self, params: ParamsT, own: dict[str, Any], shared: SharedSettings):
        self._forms = ClosureForms()
        self.last_step: StepRecord | None = None
        super().__init__(params, checks.complete(own, shared, type(self).__name__))
        first, *others = self.param_groups
        first["search_state"] = asdict(SearchState())
        for group in [first, *others]:
            group["lr"] = first["init_step"]

    @property
    @abstractmethod
    def direction(self) -> Direction:
        """The direction searched and the direction taken."""

    @abstractmethod
    def condition(self, memory: Memory, slope: float) -> Condition:
        """The condition of a step with this slope."""

    @property
    def growth(self) -> float:
        """The factor from the last accepted step to the start of the next search.

        `growth`, or `γ^{1/b}` where it is meant for an epoch of b = `n_batches_per_epoch` steps.
        """
        group = self.param_groups[0]
        return float(group["growth"] ** (1 / group.get("n_batches_per_epoch", 1)))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; `betas`, `eps` and `weight_decay` may be its own.

        Raises:
            ValueError: an unknown or out-of-range setting, one that all groups share, or a
                parameter that is there already.
        """
        where = f"parameter group {len(self.param_groups)}"
        first = self.param_groups[0] if self.param_groups else self.defaults
        checks.check_group(param_group, self.defaults, first, where)
        super().add_param_group(param_group)
        params = self.param_groups[-1]["params"]
        if len(set(params)) < len(params):
            self.param_groups.pop()
            raise ValueError(f"{where} holds a parameter twice")
        if "lr" in first:
            self.param_groups[-1]["lr"] = first["lr"]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` saved; training goes on as if it had not stopped.

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
            self.last_step = None

    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore[override]
        """Evaluate the mini-batch, search a step, take it.

        Args:
            closure: evaluates the mini-batch's loss; forward only, PyTorch's standard form, or
                with a keyword `backward` (see `sls.closure`).

        Returns:
            The loss at the start of the step, a detached scalar. What else happened is in
            `last_step`.

        Raises:
            TypeError: no closure, or one that returns no scalar.
            RuntimeError: the loss depends on no parameter, or a gradient is sparse.
        """
        params = [param for group in self.param_groups for param in group["params"]]
        evaluation = Evaluation(closure, params, self._forms)
        loss = evaluation.loss_and_gradients()
        try:
            with torch.no_grad():
                self.last_step = _Step(self, evaluation, loss).run()
        finally:
            evaluation.finish()
        return loss

    @property
    def search_state(self) -> SearchState:
        """What the search remembers."""
        return SearchState(**self.param_groups[0]["search_state"])

    def remember(self, state: SearchState) -> None:
        """Write the search's state; a new dictionary, so that a saved one does not change."""
        self.param_groups[0]["search_state"] = asdict(state)

    def report_step_size(self, step_size: float) -> None:
        """Write the accepted step where schedulers' readers and loggers look for it."""
        for group in self.param_groups:
            group["lr"] = step_size


class _Step:
    """One step of a line search, after loss and gradients."""

    def __init__(self, optimizer: LineSearch, evaluation: Evaluation, loss: Tensor):
        self.optimizer = optimizer
        self.evaluation = evaluation
        self.loss = loss
        self.direction = optimizer.direction
        self.settings = optimizer.param_groups[0]
        self.before = optimizer.search_state
        self.groups = [GroupTensors(group, optimizer.state) for group in optimizer.param_groups]
        self.factor = self._anneal_factor()

    def run(self) -> StepRecord:
        """Search and take the step, or repeat the last one where no search is due."""
        k, last_searched = self.before.k, self.before.last_searched
        adaptive = self.settings["search"] == "adaptive"
        if adaptive and not search_is_due(k, last_searched, self.before.means):
            return self._repeat()
        return self._search()

    # ------------------------------------------------------------------------------ searching

    def _search(self) -> StepRecord:
        searched = [self.direction.searched(group) for group in self.groups]
        for group in self.groups:
            group.remember_origin()
        try:
            return self._search_along(searched)
        except BaseException:
            self._restore()
            raise

    def _search_along(self, searched: list[Tensors]) -> StepRecord:
        def trial(step_size: float) -> Tensor:
            for group, direction in zip(self.groups, searched, strict=True):
                group.move(step_size, direction)
            return self.evaluation.loss()

        slope_tensor = self._slope(searched, trial)
        start = search_start(
            self.before.step_size, self.settings["init_step"], self.optimizer.growth
        )
        # One synchronisation brings three numbers; each later trial costs one more.
        loss, p, first = _read(self.loss, slope_tensor, trial(start))
        if not (math.isfinite(loss) and math.isfinite(p)):
            self._restore()
            status = Status.NONFINITE_SLOPE if math.isfinite(loss) else Status.NONFINITE_LOSS
            return self._failed(status, loss, p, SearchResult(start, first, 1, Outcome.NONFINITE))
        condition = self.optimizer.condition(self.before.memory, p)
        eps = self.settings["tolerance"] * torch.finfo(self.loss.dtype).eps

        def holds(step_size: float, loss_next: float) -> bool:
            slack = rounding(loss, loss_next, eps)
            return condition.holds(step_size, loss - loss_next + slack)

        result = backtrack(
            lambda step_size: first if step_size == start else float(trial(step_size)),
            holds,
            start=start,
            shrink=self.settings["shrink"],
            max_trials=self.settings["max_trials"],
            min_step=self.settings["min_step"],
        )
        if result.kept:
            return self._accept(loss, p, result, condition, searched)
        fallback = self.optimizer.fallback_step
        if result.outcome is Outcome.EXHAUSTED and fallback is not None:
            return self._fall_back(fallback, loss, p, result)
        self._restore()
        return self._failed(_FAILURE[result.outcome], loss, p, result)

    def _accept(
        self,
        loss: float,
        p: float,
        result: SearchResult,
        condition: Condition,
        searched: list[Tensors],
    ) -> StepRecord:
        for group, direction in zip(self.groups, searched, strict=True):
            if not self.direction.takes_what_it_searched:
                group.move(result.step_size * self.factor, self.direction.taken(group))
            elif self.factor != 1:
                group.move(result.step_size * self.factor, direction)
        memory = condition.memory_after(result.step_size, loss - result.loss)
        after = replace(self.before.after_step(result.step_size), h=memory.h, s=memory.s)
        self._finish(result.step_size, after)
        return self._record(_SUCCESS[result.outcome], loss, p, result, result.step_size)

    def _fall_back(
        self, step_size: float, loss: float, p: float, result: SearchResult
    ) -> StepRecord:
        for group in self.groups:
            group.move(step_size * self.factor, self.direction.taken(group))
        self._finish(step_size, self.before)
        return self._record(Status.FALLBACK, loss, p, result, step_size)

    def _finish(self, step_size: float, after: SearchState) -> None:
        for group in self.groups:
            group.decay(step_size * self.factor * group.settings["weight_decay"])
            self.direction.commit(group)
        self.optimizer.remember(replace(after, k=self.before.k + 1, last_searched=self.before.k))
        self.optimizer.report_step_size(step_size)

    def _failed(self, status: Status, loss: float, p: float, result: SearchResult) -> StepRecord:
        """Everything stays as it was, but for the count of steps."""
        k = self.before.k
        self.optimizer.remember(replace(self.before, k=k + 1, last_searched=k))
        return self._record(status, loss, p, result, self.settings["lr"])

    def _restore(self) -> None:
        for group in self.groups:
            group.restore()

    # ------------------------------------------------------------------------------ repeating

    def _repeat(self) -> StepRecord:
        """Take the last step again, without a trial."""
        step_size = self.before.step_size
        assert step_size is not None  # noqa: S101 - a search is due until one has succeeded
        directions = [self.direction.taken(group) for group in self.groups]
        pairs = ((g.grads, d) for g, d in zip(self.groups, directions, strict=True))
        loss, p = _read(self.loss, exact_slope(pairs, self.loss.device))
        if not (math.isfinite(loss) and math.isfinite(p)):
            status = Status.NONFINITE_SLOPE if math.isfinite(loss) else Status.NONFINITE_LOSS
            self.optimizer.remember(replace(self.before, k=self.before.k + 1))
            return self._record(status, loss, p, None, self.settings["lr"])
        taken = step_size * self.factor
        for group, direction in zip(self.groups, directions, strict=True):
            group.step(taken, direction, taken * group.settings["weight_decay"])
            self.direction.commit(group)
        self.optimizer.remember(replace(self.before.after_step(step_size), k=self.before.k + 1))
        self.optimizer.report_step_size(step_size)
        return self._record(Status.REPEATED, loss, p, None, step_size)

    # -------------------------------------------------------------------------------- numbers

    def _slope(self, searched: list[Tensors], trial: Callable[[float], Tensor]) -> Tensor:
        if self.settings.get("slope", "exact") == "exact":
            pairs = ((g.grads, d) for g, d in zip(self.groups, searched, strict=True))
            return exact_slope(pairs, self.loss.device)
        return torch.tensor(
            finite_difference_slope(float(self.loss), lambda eps: float(trial(eps))),
            dtype=torch.float64,
        )

    def _anneal_factor(self) -> float:
        total_steps, k = self.settings["total_steps"], self.before.k
        if total_steps is not None and k == total_steps:
            warnings.warn(
                f"step() was called more often than total_steps={total_steps}: "
                "the annealed step is 0 from here on",
                UserWarning,
                stacklevel=4,
            )
        return anneal_factor(k, total_steps, self.settings["anneal"])

    def _record(
        self, status: Status, loss: float, p: float, result: SearchResult | None, step_size: float
    ) -> StepRecord:
        return StepRecord(
            loss=loss,
            loss_next=None if result is None else result.loss,
            step_size=step_size,
            slope=p,
            trials=0 if result is None else result.trials,
            forwards=self.evaluation.forwards,
            searched=result is not None,
            status=status,
            factor=self.factor,
        )


def _read(*numbers: Tensor) -> list[float]:
    """Several scalars in one synchronisation, in the best precision among them."""
    device = numbers[0].device
    dtype = torch.float32
    for number in numbers:
        dtype = torch.promote_types(dtype, number.dtype)
    return [
        float(x) for x in torch.stack([n.to(device=device, dtype=dtype) for n in numbers]).tolist()
    ]
