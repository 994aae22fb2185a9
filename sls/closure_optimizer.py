"""The base of all optimizers: a step with a closure, whichever rule chooses its size.

    evaluate loss and gradients → `take_step` → record

All state lives in `state` and `param_groups`; the numbers of the optimizer as a whole are under
"search_state" in the first group.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.optim.optimizer import Optimizer, ParamsT

from sls import settings as checks
from sls.around import INITIAL, NAME, Base, Reading, initial_rate, params_of
from sls.between_steps import BetweenSteps, any_nonzero
from sls.bounds import check_type
from sls.closure import Closure, ClosureForms, Evaluation
from sls.compiled import never_compiled
from sls.diagnosis import Diagnosis, flat
from sls.directions import Direction
from sls.distributed import shard_whole_tensors
from sls.hints import Hints
from sls.joined_state import joined, parted
from sls.parameters import GroupTensors
from sls.record import Ended
from sls.replay import NoReplay, Replay
from sls.saved_state import (
    OWNER,
    PLACEHOLDERS,
    changed_settings,
    completed,
    require_own,
    without_empty,
)
from sls.scaling import scale_of
from sls.snapshot import Snapshot
from sls.step_sizes import anneal_factor

Record = TypeVar("Record", bound=Ended)


class ClosureOptimizer(Optimizer, Generic[Record]):
    """An optimizer that evaluates the loss itself and chooses the size of its step.

    Subclasses take the step. `group["lr"]` is the step's size, for readers only: writing to it
    changes nothing, and is warned of. A parameter group may have `lr_scale`, a positive number: its
    direction and its weight decay are multiplied by it, in the trials and in the step.

    Args:
        params: parameters, (name, parameter) pairs, or parameter groups.
        settings: all settings, checked, `init_step`, `total_steps` and `anneal` among them.
        search_state: the plain numbers to remember, as they are before the first step.

    Attributes:
        last_step: the record of the last step, or None before the first.
        hints: the warnings, each given once.
        base: the optimizers that the direction is read off, where it was built by `around`.
        reading: their direction in the step being taken.

    Raises:
        ValueError: a setting of a group is out of range, no parameter, or one in two groups.
    """

    base: Base | None = None
    reading: Reading | None = None
    settings_around: ClassVar[dict[str, Any]] = {}
    """Arguments without a default that `around` fills in."""

    def __init__(self, params: ParamsT, settings: dict[str, Any], search_state: dict[str, Any]):
        self._begin()
        super().__init__(params, settings)
        first, *others = self.param_groups
        first |= {"search_state": search_state, OWNER: type(self).__name__, PLACEHOLDERS: False}
        for group in [first, *others]:
            group["lr"] = first["init_step"]
        self._between.note_rates(self.param_groups)

    def _begin(self) -> None:
        """Set what is no part of the saved state."""
        name = type(self).__name__
        self._forms = ClosureForms()
        self.hints = Hints(name)
        self._between = BetweenSteps(name)
        self._diagnosis = Diagnosis(name)
        self.last_step: Record | None = None

    @classmethod
    def around(cls, optimizer: Optimizer, *others: Optimizer, **settings: Any) -> Self:
        """A line search by the rule of this class, along the direction of any torch optimizer.

        ```text
        input: base: an optimizer with its state, betas, weight decay and groups
        for k = 0, 1, … do
            d ← w − base(w)                           base steps once, at a rate of 1
            η ← by the rule of this class, along d
            w ← w − a_k·η·d                           a_k: annealing, times the base's schedule
        ```

        The base steps once per step, whatever the number of trials; its state goes back if the
        step fails. `ALSALS` around `torch.optim.Adam` is `ALSALS`, to rounding. η is the learning
        rate of the base's first group; other groups keep their ratio to it. Schedulers are built
        on the base: they scale the step that is taken by `lr / initial lr`.

        Memory besides the base's, in multiples of the parameters: d; one or two copies of w; and,
        until the step is accepted, a copy of the base's state (Adam 2, SGD with momentum or Muon
        1), which `PeakSLS` does not need once its peak is held.

        Args:
            optimizer: the base, any torch optimizer whose step is proportional to its `lr`. Do not
                call its `step` yourself. The size of its `lr` does not matter.
            *others: more of them, for the rest of the parameters, as AdamW beside Muon.
            **settings: the settings of this class but `betas`, `eps`, `weight_decay` and
                `direction`, which are the base's.

        Raises:
            TypeError: no direction can be read off this optimizer (it needs a closure, averages,
                has no `lr`), the class has no rule of its own, or a setting is unknown.
            ValueError: a setting is out of range or the base's; in `step`, a scheduler has raised
                `lr` above where it was at first.

        Examples:
            >>> import torch
            >>> from sls import ALSALS
            >>> w = torch.nn.Parameter(torch.tensor([3.0, -1.0]))
            >>> optimizer = ALSALS.around(torch.optim.NAdam([w]))
            >>> for _ in range(3):
            ...     loss = optimizer.step(lambda: (w**2).sum())
            ...     print(f"{loss:.2f} {optimizer.last_step.step_size:.2f}")
            10.00 0.10
            9.18 0.10
            8.61 0.10
        """
        if getattr(cls.direction, "__isabstractmethod__", False):
            raise TypeError(
                f"{cls.__name__} has no rule for the step: write ALSALS.around(optimizer) or "
                "PeakSLS.around(optimizer)"
            )
        for one in (optimizer, *others):
            if isinstance(one, ClosureOptimizer):
                raise TypeError(
                    f"{type(one).__name__} finds its step itself; there is nothing to put around it"
                )
        base = Base((optimizer, *others))
        base.refuse_settings(settings, cls.__name__)
        groups = [{"params": params_of(group)} for group in base.param_groups]
        ours = cls(groups, **{**cls.settings_around, **settings})
        ours.base = base
        ours._note_base(base)
        return ours

    def _note_base(self, base: Base) -> None:
        """Write the base's name and initial rate into groups that have none yet."""
        for group, theirs in zip(self.param_groups, base.param_groups, strict=True):
            group.setdefault(INITIAL, initial_rate(theirs))
            group.setdefault(NAME, base.name)

    @property
    @abstractmethod
    def direction(self) -> Direction:
        """The direction of the step, but for optimizers built by `around`."""

    @property
    @abstractmethod
    def calls(self) -> int:
        """The number of calls of `step` so far, those of earlier processes included."""

    @abstractmethod
    def take_step(self, evaluation: Evaluation, loss: Tensor) -> Record:
        """Take the step, after loss and gradients; runs without gradients.

        Args:
            evaluation: the mini-batch's loss at wherever the parameters are.
            loss: its loss at the start of the step.
        """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a parameter group; it may have its own `betas`, `eps`, `weight_decay`, `lr_scale`.

        Around another optimizer, the group with all its settings is added to that one.

        Raises:
            ValueError: an unknown or out-of-range setting, one that all groups share, or a
                parameter that is there already.
        """
        if self.base is None:
            self._add_own_group(param_group)
            return
        self.base.add_param_group(param_group)
        try:
            self._add_own_group({"params": params_of(self.base.param_groups[-1])})
        except ValueError:
            self.base.drop_last_group()
            raise
        self._note_base(self.base)

    def _add_own_group(self, param_group: dict[str, Any]) -> None:
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

    def state_dict(self) -> dict[str, Any]:
        """The whole state; around other optimizers, with theirs in it."""
        state = super().state_dict()
        state["state"] = without_empty(state["state"])  # of placeholders
        return state if self.base is None else joined(state, self.base.optimizers)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a `state_dict`; training goes on as if it had not stopped, bit for bit.

        The settings are the saved ones, as in torch's optimizers; those that change are warned of.

        Raises:
            ValueError: the state is that of another optimizer, or of other groups.
        """
        groups = completed(state_dict.get("param_groups", []), self.defaults)
        require_own(groups, self.defaults, type(self).__mro__)
        first = {PLACEHOLDERS: False, **groups[0], OWNER: type(self).__name__}
        states = without_empty(state_dict["state"])
        saved = {**state_dict, "state": states, "param_groups": [first, *groups[1:]]}
        own, bases = parted(saved, holds_nothing=first[PLACEHOLDERS])
        self._load_base(own.pop("base", bases))  # states of earlier versions have it beside
        own["param_groups"][0][PLACEHOLDERS] = False
        changes = changed_settings(self.param_groups, groups, self.defaults)
        super().load_state_dict(own)
        shard_whole_tensors(self.state)
        if self.base is not None:
            self.base.show_state(self.state)
            self._note_base(self.base)
        if changes:
            text = f"the loaded state changes settings of {type(self).__name__}: "
            warnings.warn(text + "; ".join(changes), UserWarning, stacklevel=3)

    def _load_base(self, saved: list[dict[str, Any]]) -> None:
        name = type(self).__name__
        if self.base is None and saved:
            theirs = " and ".join(part["class"] for part in saved)
            raise ValueError(
                f"this state_dict was saved around {theirs}; build {name}.around({theirs}(…))"
            )
        if self.base is not None:
            if not saved:
                raise ValueError(
                    f"this state_dict is {name}'s own, not one around {self.base.name}"
                )
            self.base.load_state_dict(saved)

    def __getstate__(self) -> dict[str, Any]:
        # torch pickles and copies an optimizer without its other attributes.
        around = {} if self.base is None else {"base": self.base}
        return {**super().__getstate__(), **around}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.defaults.pop("differentiable", None)  # torch's addition, no setting of ours
        if "_forms" not in self.__dict__:  # unpickled or deep-copied
            self._begin()
        self._between.note_rates(self.param_groups)

    @never_compiled
    def step(  # type: ignore[override]
        self, closure: Closure | None = None, *, scaler: GradScaler | None = None
    ) -> Tensor:
        """Evaluate the mini-batch's loss and gradients, choose a step and take it.

        ```text
        loss = optimizer.step(lambda: criterion(model(inputs), targets))
        ```

        Gradients are zeroed and computed here; those that others have written since the last step
        are dropped, with a warning. All evaluations of the closure in one step see the
        same random numbers and buffers.

        Args:
            closure: evaluates the loss of one mini-batch, a scalar tensor: forward only,
                PyTorch's standard form, or with a keyword `backward` (see `sls.closure`).
            scaler: for float16 autocast: scales the loss for backward, unscales the gradients
                and is updated, in place of `scaler.scale`, `scaler.step` and `scaler.update`. A
                step whose gradients overflow moves nothing.

        Returns:
            The loss before the step, unscaled, a detached scalar. `last_step` has everything else.

        Raises:
            TypeError: no closure, or one that returns no scalar; a scaler that is none.
            ValueError: a scaler for parameters in float16.
            RuntimeError: the loss depends on no parameter, a gradient is sparse, or a closure
                that runs backward itself does not scale the loss.
        """
        params = [param for group in self.param_groups for param in group["params"]]
        if closure is None and self._only_state_is_wanted(params):
            self._make_placeholders()
            return torch.zeros(())
        self._drop_placeholders()
        scale = scale_of(scaler, self, params)
        evaluation = Evaluation(closure, params, self._forms, self.replay(params), scale)
        self._between.check_rates(self.param_groups, None if self.base is None else self.base.name)
        self._between.check_gradients(params, evaluation.closure)
        loss = evaluation.loss_and_gradients()
        try:
            if self.calls == 0:
                self.hints.check_model(evaluation.modules, params)
            with torch.no_grad(), self._read_direction():
                self.last_step = self.take_step(evaluation, loss)
        finally:
            evaluation.finish()
            self._between.note_gradients(params)
            self._between.note_rates(self.param_groups)
        self._diagnosis.see(self.last_step)
        self.hints.see(self.last_step)
        return loss

    @contextmanager
    def _read_direction(self) -> Iterator[None]:
        """A context in which `reading` is the base's direction, if there is a base."""
        if self.base is None:
            yield
            return
        try:
            with self.base.reading(self.param_groups) as self.reading:
                yield
        finally:
            self.reading = None
            self.base.show_state(self.state)

    # --------------------------------------------- state for torch.distributed.checkpoint

    def _only_state_is_wanted(self, params: Sequence[Tensor]) -> bool:
        """Whether `torch.distributed.checkpoint` calls `step()`, to have the state made.

        It does so where there is no state, with every lr and every gradient 0.
        """
        if any(group["lr"] != 0 for group in self.param_groups):
            return False
        gradients = [param.grad for param in params if param.grad is not None]
        return bool(gradients) and not any_nonzero(gradients)

    @torch.no_grad()
    def _make_placeholders(self) -> None:
        """Make state, if there is none, with the names and shapes that it will have.

        The next step, or the next one to load it, drops it again, so that it changes nothing.
        """
        if self.state:
            return
        before = Snapshot(() if self.base is None else self.base.optimizers)
        try:
            with self._read_direction():
                for group in self.param_groups:
                    self.make_state(GroupTensors(group, self.state))
                if self.base is not None:
                    self.base.show_state(self.state)
        finally:
            before.restore()
        self.param_groups[0][PLACEHOLDERS] = True

    def make_state(self, group: GroupTensors) -> None:
        """Make the state that the parameters of a group have after a step, whatever its values."""
        if self.reading is None:
            self.direction.commit(group)
        else:
            self.reading.searched(group)

    def _drop_placeholders(self) -> None:
        if self.param_groups[0].get(PLACEHOLDERS):
            self.state.clear()
            self.param_groups[0][PLACEHOLDERS] = False

    def log(self, prefix: str = "sls/") -> dict[str, float | int | str]:
        """The last step as a flat dictionary of plain numbers and text, for loggers.

        The keys are `prefix` and the names of the record's attributes, as "sls/loss",
        "sls/step_size", "sls/trials", "sls/status"; "sls/step_taken" is the step after annealing, 0
        where nothing moved. What the step did not measure is left out; empty before the first step.
        Under `PeakSLS` reading the loss waits for the device.

        Args:
            prefix: the beginning of every key.

        Examples:
            >>> import torch
            >>> import sls
            >>> w = torch.nn.Parameter(torch.tensor([3.0, -1.0]))
            >>> optimizer = sls.ALSALS([w], init_step=0.5)
            >>> loss = optimizer.step(lambda: (w**2).sum())
            >>> log = optimizer.log()
            >>> log["sls/loss"], log["sls/trials"], log["sls/status"]
            (10.0, 1, 'accepted')
        """
        return {} if self.last_step is None else flat(self.last_step, prefix)

    def explain(self) -> str:
        """The last hundred steps in words: what is unusual about them, and what to try.

        It notices steps that move nothing, collapse or run away, searches that fail or are
        costly, and judgements that see no gain. What it looks at is not part of the saved state.

        Examples:
            >>> import torch
            >>> import sls
            >>> w = torch.nn.Parameter(torch.tensor([3.0, -1.0]))
            >>> optimizer = sls.ALSALS([w])
            >>> loss = optimizer.step(lambda: (w**2).sum())
            >>> optimizer.explain()
            'ALSALS: nothing unusual in the last step'
        """
        return self._diagnosis.text()

    def replay(self, params: Sequence[Tensor]) -> Replay | NoReplay:
        """The replay of random numbers and buffers for the next step."""
        return Replay(param.device for param in params)

    def report_step_size(self, step_size: float) -> None:
        """Write the accepted step to `group["lr"]`, where loggers look for it."""
        for group in self.param_groups:
            group["lr"] = step_size

    def anneal_factor(self, k: int) -> float:
        """The factor on the size of step k, from annealing and the schedulers of the base.

        Warns in the first step beyond `total_steps`.
        """
        settings = self.param_groups[0]
        total_steps = settings["total_steps"]
        if total_steps is not None and k == total_steps:
            warnings.warn(
                f"step() was called more often than total_steps={total_steps}: "
                "the annealed step is 0 from here on",
                UserWarning,
                stacklevel=8,
            )
        scheduled = 1.0 if self.reading is None else self.reading.factor
        return scheduled * anneal_factor(k, total_steps, settings["anneal"])
