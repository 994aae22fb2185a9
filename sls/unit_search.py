"""A step for each unit of parameters: one unit is searched in a step, in turn, and all move.

A unit is a parameter group, whose numbers are under "unit" in the group. Groups without them have
one step together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from sls.directions import exact_slope
from sls.line_search import LineSearch, Step
from sls.parameters import GroupTensors
from sls.path import Path
from sls.record import Status, StepRecord
from sls.replay import NoReplay, Replay
from sls.saved_state import as_plain
from sls.search import SearchResult
from sls.settings import SharedSettings
from sls.step_sizes import SearchState
from sls.units import nested_groups

SHARED_STEPS = 6
"""So many steps at first are searched for all units together."""

_OF_A_UNIT = ("last_searched", "step_size", "h", "s", "fast", "slow", "failed_at", "recover_to")
"""The fields of `SearchState` that every unit has for itself; the others are the run's."""


class UnitSearch(LineSearch):
    """A line search that can have a step for each parameter group, a unit.

    The first six steps, and all until one is accepted, are searched for all units together. From
    then on a step searches one unit: of those with a gradient the one whose last search is the
    longest ago. Its trials move that unit alone, its slope is the unit's own, the loss is the whole
    loss. Then all units move, each with its own step. Where the search fails none moves, and only
    the numbers of the unit that was searched change.

    Args:
        params: as of every optimizer, or a list of iterables of parameters; several are units.
        own: the settings that this optimizer alone has.
        shared: the settings that all line searches have, as far as the user gave them.
    """

    _searched: Sequence[int] = ()

    def __init__(self, params: ParamsT, own: dict[str, Any], shared: SharedSettings):
        groups = nested_groups(params)
        super().__init__(params if groups is None else groups, own, shared)
        if groups is not None and len(groups) > 1:
            self.make_units()

    def make_units(self) -> None:
        """Give every parameter group a step of its own; before the first step."""
        for group in self.param_groups:
            group["unit"] = _numbers_of_a_unit(SearchState())

    @property
    def has_units(self) -> bool:
        """Whether each parameter group has a step of its own."""
        return "unit" in self.param_groups[0]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a parameter group; as a unit it has the first one's step, and is searched next.

        Raises:
            ValueError: an unknown or out-of-range setting, one that all groups share, or a
                parameter that is there already.
        """
        super().add_param_group(param_group)
        if self.has_units:
            first, added = self.param_groups[0], self.param_groups[-1]
            added["unit"] = {**first["unit"], "last_searched": -1}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a `state_dict`; training goes on as if it had not stopped, bit for bit.

        Raises:
            ValueError: the state is that of another optimizer, of other groups, or has a step for
                each unit where this one has not, or the other way round.
        """
        for group in state_dict.get("param_groups", []):
            if self.has_units and "unit" not in group:
                raise ValueError(
                    f"this state_dict has one step for all parameters, this {type(self).__name__} "
                    "one for each unit"
                )
            if not self.has_units and "unit" in group:
                raise ValueError(
                    "this state_dict has a step for each unit of parameters, this "
                    f"{type(self).__name__} one for all; build it with the same units, as PLASLS is"
                )
        super().load_state_dict(state_dict)
        self._searched = ()

    # ------------------------------------------------------------------------- parts of a step

    @property
    def step_type(self) -> type[Step]:
        """The class that takes a step."""
        return _UnitStep if self.has_units else Step

    def replay(self, params: Sequence[Tensor]) -> Replay | NoReplay:
        """With units always: whether a step searches is known when its gradients are there."""
        return (
            Replay(param.device for param in params) if self.has_units else super().replay(params)
        )

    def choose_groups(self) -> None:
        """All units in the first steps; then, of those due, the one not searched for longest."""
        everything = range(len(self.param_groups))
        run = super().search_state
        if not self.has_units or run.k < SHARED_STEPS or run.step_size is None:
            self._searched = everything
            return
        units = [i for i in everything if _has_gradient(self.param_groups[i])]
        if self.param_groups[0]["search"] == "adaptive":
            units = [i for i in units if self._state_of(i).search_is_due()] or units
        self._searched = [min(units, key=lambda i: self._state_of(i).last_searched)]

    @property
    def searched_groups(self) -> Sequence[int]:
        """The units that this step searches; before the first step all."""
        return self._searched or super().searched_groups

    @property
    def search_state(self) -> SearchState:
        """What the search remembers, with the numbers of the unit that is, or was, searched."""
        if self.has_units and len(self._searched) == 1:
            return self._state_of(self._searched[0])
        return super().search_state

    def _state_of(self, number: int) -> SearchState:
        return replace(super().search_state, **self.param_groups[number]["unit"])

    def remember(self, state: SearchState) -> None:
        """Write the search's state, and the numbers of the units that were searched."""
        super().remember(state)
        if self.has_units:
            for number in self.searched_groups:
                self.param_groups[number]["unit"] = _numbers_of_a_unit(state)

    def report_step_size(self, step_size: float) -> None:
        """Write the accepted step to `group["lr"]` of the units that were searched."""
        for number in self.searched_groups:
            self.param_groups[number]["lr"] = step_size


class _UnitStep(Step):
    """One step: the trials move some units, the step moves all."""

    def _others(self) -> list[GroupTensors]:
        return [group for group in self.groups if group not in self.tried]

    def _size_for(self, group: GroupTensors, step_size: float) -> float:
        return step_size if group in self.tried else float(group.settings["unit"]["step_size"])

    def _first_trial(
        self, searched: Sequence[Path], trial: Callable[[float], Tensor], start: float
    ) -> tuple[Tensor, Tensor]:
        """The slope of the units searched is NaN where a gradient of another is not finite."""
        slope, loss = super()._first_trial(searched, trial, start)
        squares = ((group.grads, group.grads) for group in self._others())
        others = self.ranks.largest(exact_slope(squares, self.loss.device))
        return slope + 0 * others, loss

    def _keep(self, step_size: float, searched: Sequence[Path]) -> None:
        super()._keep(step_size, searched)
        for group in self._others():
            self._step_from_origin(group, step_size)

    def _finish(self, step_size: float, after: SearchState) -> None:
        super()._finish(step_size, after)
        self._count_repeats()

    def _fail(self, loss: float, p: float, result: SearchResult, after: SearchState) -> StepRecord:
        if result.status is not Status.IDLE or not self._others():
            return super()._fail(loss, p, result, after)
        # This unit alone has no slope; its turn is over, and the others need not wait for it.
        self._restore()
        record = self.repeat()
        self._remember(self.optimizer.search_state)
        return record

    def repeat(self) -> StepRecord:
        record = super().repeat()
        if record.status.moved:
            self._count_repeats()
        return record

    def _count_repeats(self) -> None:
        """Enter the step that each of the other units has taken again into its means."""
        for group in self._others():
            unit = SearchState(**group.settings["unit"])
            if unit.step_size is not None:
                group.settings["unit"] = _numbers_of_a_unit(unit.after_step(unit.step_size))


def _numbers_of_a_unit(state: SearchState) -> dict[str, Any]:
    return {name: value for name, value in as_plain(state).items() if name in _OF_A_UNIT}


def _has_gradient(group: dict[str, Any]) -> bool:
    return any(param.grad is not None for param in group["params"])
