"""The base of all line searches: one step, put together from its parts.

    evaluate loss and gradients → direction and slope → search → move, decay, remember

Line searches differ in their direction (`directions`), their condition (`conditions`) and the
growth of the step between searches. All state lives in `state` and `param_groups`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from sls import path as paths
from sls import settings as checks
from sls.arithmetic import read
from sls.bounds import SMALL, StepBounds
from sls.clipping import clip_, unclipped
from sls.closure import Evaluation
from sls.closure_optimizer import ClosureOptimizer
from sls.conditions import Condition, rounding
from sls.directions import Direction, finite_difference_slope, scaled
from sls.evidence import next_level, proves_nothing
from sls.parameters import GroupTensors, size_of_gradients
from sls.path import Path
from sls.record import Status, StepRecord
from sls.replay import NoReplay, Replay
from sls.saved_state import as_plain
from sls.search import SearchResult, backtrack, decrease_of_parabola, never
from sls.settings import SharedSettings
from sls.step_sizes import SearchState

COLLAPSED = 1e-3
"""A step that falls to so much of the first raises the question whether the loss repeats,"""
WINDFALL = 2.0
"""as does a decrease that is larger than what the slope promises by this factor."""
SEEN = 100.0
"""A decrease of so many roundings of the loss is known to a few percent."""


class LineSearch(ClosureOptimizer[StepRecord]):
    """The base class of the optimizers whose step is found by backtracking on the mini-batch.

    ```text
    d ← direction(g),  p ← ⟨g, d⟩,  η ← η_{k−1}·growth
    while not condition.holds(η, f(w) − f(w − η·d), p):
        η ← δ·η
    w ← w − η·d
    ```

    `SLS`, `AdamSLS`, `ALSALS` and `SaLSA` are subclasses that name a direction and a condition;
    `Backtracking` is the one that takes yours. `group["lr"]` is the accepted step, for readers
    only: writing to it changes nothing.

    Args:
        params: parameters, (name, parameter) pairs, or parameter groups.
        own: the settings that this optimizer alone has.
        shared: the settings that all line searches have, as far as the user gave them.

    Attributes:
        last_step: the `StepRecord` of the last step, or None before the first.

    Raises:
        TypeError: an unknown setting.
        ValueError: a setting that is out of range, no parameter, or one in two groups.
    """

    fallback_step: float | None = None
    """The step taken where a search is exhausted, if it does not raise the loss; None: no step."""

    def __init__(self, params: ParamsT, own: dict[str, Any], shared: SharedSettings):
        settings = checks.complete(own, shared, type(self).__name__)
        super().__init__(params, settings, as_plain(SearchState()))

    @property
    @abstractmethod
    def direction(self) -> Direction:
        """The direction searched and the direction taken."""

    @property
    @abstractmethod
    def condition(self) -> Condition:
        """The condition under which a trial is accepted."""

    @property
    def growth(self) -> float:
        """The factor from the last accepted step to the start of the next search.

        `growth`, or `γ^{1/b}` where it is meant for an epoch of b = `n_batches_per_epoch` steps.
        """
        group = self.param_groups[0]
        return float(group["growth"] ** (1 / group.get("n_batches_per_epoch", 1)))

    @property
    def calls(self) -> int:
        """The number of calls of `step` so far, those of earlier processes included."""
        return int(self.param_groups[0]["search_state"]["k"])

    def take_step(self, evaluation: Evaluation, loss: Tensor) -> StepRecord:
        """Search a step and take it, or repeat the last one where no search is due."""
        self.choose_groups()
        if not self._search_is_due():
            return self.step_type(self, evaluation, loss).repeat()
        return self.step_type(self, evaluation, loss).search()

    def _search_is_due(self) -> bool:
        settings, state = self.param_groups[0], self.search_state
        match settings["search"]:
            case "adaptive":
                return state.search_is_due()
            case "budget":
                return state.search_is_affordable(settings["max_extra_forwards"])
        return True

    def replay(self, params: Sequence[Tensor]) -> Replay | NoReplay:
        """No replay in a step that will not search, and so evaluates once.

        The first step after a resume looks at the modules, to know which processes take part.
        """
        once = not self._search_is_due() and self._forms.processes.known
        return NoReplay() if once else super().replay(params)

    def choose_groups(self) -> None:
        """Choose `searched_groups` for the next step, after its gradients: always all."""

    @property
    def searched_groups(self) -> Sequence[int]:
        """The numbers of the parameter groups that the trials of a step move."""
        return range(len(self.param_groups))

    @property
    def step_type(self) -> type[Step]:
        """The class that takes a step."""
        return Step

    @property
    def search_state(self) -> SearchState:
        """What the search remembers."""
        return SearchState(**self.param_groups[0]["search_state"])

    def remember(self, state: SearchState) -> None:
        """Write the search's state; a new dictionary, so that a saved one does not change."""
        self.param_groups[0]["search_state"] = as_plain(state)


class Step:
    """One step of a line search, after loss and gradients.

    Attributes:
        groups: the parameter groups, all of which the step moves.
        tried: those that the trials move.
    """

    def __init__(self, optimizer: LineSearch, evaluation: Evaluation, loss: Tensor):
        self.optimizer = optimizer
        self.evaluation = evaluation
        self.loss = loss
        self.ranks = evaluation.ranks
        self.settings = optimizer.param_groups[optimizer.searched_groups[0]]
        self.before = optimizer.search_state
        self.groups = [GroupTensors(group, optimizer.state) for group in optimizer.param_groups]
        self.tried = [self.groups[number] for number in optimizer.searched_groups]
        self.direction: Direction = scaled(optimizer.reading or optimizer.direction, self.groups)
        self.factor = optimizer.anneal_factor(self.before.k)
        self.clipped_by = clip_(
            self.groups, self.settings["max_grad_norm"], loss.device, self.ranks
        )

    # ------------------------------------------------------------------------------ searching

    def search(self) -> StepRecord:
        """Search a step and take it; parameters are where they were if anything raises."""
        searched = [Path(group, self.direction) for group in self.tried]
        for group in self.groups:
            group.remember_origin()
        try:
            return self._search_along(searched)
        except BaseException:
            self._restore()
            raise

    def _search_along(self, searched: Sequence[Path]) -> StepRecord:
        def trial(step_size: float) -> Tensor:
            for path in searched:
                path.move(step_size)
            return self.evaluation.loss()

        bounds = StepBounds(searched, self.ranks)
        start = self._start(bounds)
        slope, loss_next = self._first_trial(searched, trial, start)
        # One synchronisation brings three numbers; each later trial costs one more.
        loss, p, first = read(self.loss, slope, loss_next)
        refusal = _refusal(loss, p)
        if refusal is not None:
            return self._fail(loss, p, SearchResult(start, first, 1, refusal), self.before)
        if self._proves_nothing(loss, p, start, first):
            # Kept without a search, and without a word on where the next one starts.
            result = SearchResult(start, first, 1, Status.ACCEPTED)
            return self._accept(loss, p, result, searched, self.before)
        condition, memory = self.optimizer.condition, self.before.memory
        promised_and_found: list[tuple[float, float]] = []

        def holds(step_size: float, loss_next: float) -> bool:
            promised_and_found.append((step_size * p, loss - loss_next))
            decrease = loss - loss_next + self._slack(loss, loss_next)
            return condition.holds(step_size, decrease, p, memory)

        def would_fail(step_size: float, tried: float, loss_tried: float) -> bool:
            decrease = decrease_of_parabola(step_size, p, tried, loss - loss_tried)
            decrease += self._slack(loss, loss - decrease)
            return p > 0 and not condition.holds(step_size, decrease, p, memory)

        result = backtrack(
            lambda step_size: first if step_size == start else float(trial(step_size)),
            holds,
            start=start,
            shrink=self.settings["shrink"],
            max_trials=self.settings["max_trials"],
            min_step=self.settings["min_step"],
            too_small=bounds.too_small,
            would_fail=would_fail if self.settings["interpolate"] else never,
        )
        if result.status is Status.FLOOR and p > 0 and not self._no_rise(loss, result.loss):
            # The least step climbs where the slope promised descent.
            result = replace(result, status=Status.EXHAUSTED)
            return self._fail(loss, p, result, self._after_failure(result))
        if not result.status.moved:
            least = rounding(loss, loss, SEEN * torch.finfo(self.loss.dtype).eps)
            self.optimizer.hints.see_failed_search(promised_and_found, least)
            return self._give_up(loss, p, result, trial)
        after = self.before.after_search(result.step_size, result.trials)
        return self._accept(loss, p, result, searched, after)

    def _start(self, bounds: StepBounds) -> float:
        """The first step tried, within the bounds of the parameters' type; they are at w."""
        start = self.before.start(self.settings["init_step"], self.optimizer.growth)
        hints, least = self.optimizer.hints, max(SMALL, COLLAPSED * self.settings["init_step"])
        if hints.in_doubt or start < least or self.before.failed_at is not None:
            hints.check_that_the_loss_repeats(self.evaluation, self.loss)
        return bounds.within(start)

    def _accept(
        self,
        loss: float,
        p: float,
        result: SearchResult,
        searched: Sequence[Path],
        after: SearchState,
    ) -> StepRecord:
        if loss - result.loss > WINDFALL * result.step_size * p + self._slack(loss, result.loss):
            self.optimizer.hints.in_doubt = True
        self._keep(result.step_size, searched)
        memory = self.optimizer.condition.memory_after(
            result.step_size, loss - result.loss, p, self.before.memory
        )
        level = next_level(self.before.level, loss)
        self._finish(result.step_size, replace(after, h=memory.h, s=memory.s, level=level))
        return self._record(result.status, loss, p, result)

    def _keep(self, step_size: float, searched: Sequence[Path]) -> None:
        """Move from the accepted trial to the point that the step keeps, decay and commit."""
        for path in searched:
            if not self.direction.takes_what_it_searched:
                self._step_from_origin(path.group, step_size)
                continue
            taken = step_size * self.factor
            if self.factor != 1:
                path.move(taken)
            path.group.decay(taken * path.group.weight_decay)
            self.direction.commit(path.group)

    def _step_from_origin(self, group: GroupTensors, step_size: float) -> None:
        """Go back to w, take the step from there, and commit."""
        group.restore()
        group.has_moved()
        self._step(group, step_size)

    def _step(self, group: GroupTensors, step_size: float) -> None:
        """Take the step from w, without a way back, and commit."""
        taken = self._size_for(group, step_size) * self.factor
        self.direction.step(group, taken, taken * group.weight_decay)

    def _size_for(self, group: GroupTensors, step_size: float) -> float:
        """The step that this group takes where the search's is `step_size`."""
        return step_size

    def _give_up(
        self, loss: float, p: float, result: SearchResult, trial: Callable[[float], Tensor]
    ) -> StepRecord:
        """Take the fallback if it does not raise the loss, else nothing; start lower next time."""
        after = self._after_failure(result)
        fallback = self.optimizer.fallback_step
        if result.status is Status.EXHAUSTED and fallback is not None:
            if fallback < result.step_size:
                result = replace(result, step_size=fallback, loss=float(trial(fallback)))
            if self._no_rise(loss, result.loss):
                for group in self.groups:
                    self._step_from_origin(group, result.step_size)
                self._finish(result.step_size, after)
                return self._record(Status.FALLBACK, loss, p, result)
        return self._fail(loss, p, result, after)

    def _after_failure(self, result: SearchResult) -> SearchState:
        after = self.before.after_failure(result.step_size, self.settings["init_step"])
        return after if result.status is Status.NONFINITE_TRIALS else after.with_new_means()

    def _finish(self, step_size: float, after: SearchState) -> None:
        self._remember(after)
        self.optimizer.report_step_size(step_size)

    def _fail(self, loss: float, p: float, result: SearchResult, after: SearchState) -> StepRecord:
        """Parameters and moments stay as they were."""
        self._restore()
        self._remember(after)
        return self._record(result.status, loss, p, result)

    def _remember(self, after: SearchState) -> None:
        """Write the state after a search, which took place in step k and cost forward passes."""
        k, trials = self.before.k, self.evaluation.forwards - self.evaluation.checks - 1
        extra = self.before.extra + trials
        self.optimizer.remember(replace(after, k=k + 1, last_searched=k, extra=extra))

    def _restore(self) -> None:
        for group in self.groups:
            group.restore()

    # ------------------------------------------------------------------------------ repeating

    def repeat(self) -> StepRecord:
        """Take the last step again, without a trial and without a slope."""
        step_size = self.before.step_size
        assert step_size is not None  # noqa: S101 - a search is due until one has succeeded
        size = self.ranks.largest(size_of_gradients(self.groups, self.loss.device))
        loss, magnitude = read(self.loss, size)
        refusal = _refusal(loss, magnitude)
        if refusal is not None:
            self.optimizer.remember(replace(self.before, k=self.before.k + 1))
            return self._record(refusal, loss, None, None)
        for group in self.groups:
            self._step(group, step_size)
        self.optimizer.remember(replace(self.before.after_step(step_size), k=self.before.k + 1))
        self.optimizer.report_step_size(step_size)
        return self._record(Status.REPEATED, loss, None, None)

    # -------------------------------------------------------------------------------- numbers

    def _slack(self, loss: float, loss_next: float) -> float:
        """The part of a decrease that counts as rounding.

        `tolerance` roundings; after a failed search at least one, whatever `tolerance` is: the
        step may be too small for any decrease to be seen.
        """
        tolerance = float(self.settings["tolerance"])
        if self.before.failed_at is not None:
            tolerance = max(tolerance, 1.0)
        return rounding(loss, loss_next, tolerance * torch.finfo(self.loss.dtype).eps)

    def _no_rise(self, loss: float, loss_next: float) -> bool:
        return loss_next <= loss + self._slack(loss, loss_next)

    def _proves_nothing(self, loss: float, p: float, step_size: float, loss_next: float) -> bool:
        return proves_nothing(
            step_size=step_size,
            slope=p,
            loss=loss,
            loss_next=loss_next,
            level=self.before.level,
            eps=torch.finfo(self.loss.dtype).eps,
        )

    def _first_trial(
        self, searched: Sequence[Path], trial: Callable[[float], Tensor], start: float
    ) -> tuple[Tensor, Tensor]:
        """The slope, and the loss of the first trial."""
        if self.settings.get("slope", "exact") == "exact":
            slope = paths.slope_and_move(searched, self.loss.device, start)
            return self._whole_slope(slope), self.evaluation.loss()
        return self._finite_difference(searched, trial), trial(start)

    def _finite_difference(
        self, searched: Sequence[Path], trial: Callable[[float], Tensor]
    ) -> Tensor:
        exact = self._exact_slope(searched)
        if float(exact) == 0:  # where there is no slope, no ε finds one
            return exact
        return torch.tensor(
            finite_difference_slope(float(self.loss), lambda eps: float(trial(eps))),
            dtype=torch.float64,
        )

    def _exact_slope(self, along: Sequence[Path]) -> Tensor:
        return self._whole_slope(paths.slope(along, self.loss.device))

    def _whole_slope(self, here: Tensor) -> Tensor:
        """The slope of the gradient before clipping, from the parameters that are here."""
        (slope,) = self.ranks.slopes(here)
        return unclipped(slope, self.clipped_by)

    def _record(
        self, status: Status, loss: float, p: float | None, result: SearchResult | None
    ) -> StepRecord:
        return StepRecord(
            loss=loss,
            loss_next=None if result is None else result.loss,
            step_size=self.settings["lr"],
            slope=p,
            trials=0 if result is None else result.trials,
            forwards=self.evaluation.forwards,
            searched=result is not None,
            status=status,
            factor=self.factor,
        )


def _refusal(loss: float, p: float) -> Status | None:
    """Why no step can be taken from here, if so; p: the slope, or what is as finite and as 0."""
    if not math.isfinite(loss):
        return Status.NONFINITE_LOSS
    if not math.isfinite(p):
        return Status.NONFINITE_SLOPE
    return Status.IDLE if p == 0 else None
