"""Shape of a checkpoint, checked before any of it is put into a run.

A checksum finds damage; this finds values that never were right, such as a negative step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import field, fields
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from experiments.files.reading import first_fault
from experiments.training.closure import Passes

# Sizes of steps: never negative, and finite in a run whose loss is.
_STEP_SIZES = ("lr", "step_size", "last_taken", "fast", "slow", "failed_at", "recover_to")
# Of `Progress`; checkpoints of earlier versions lack them.
_LATER = {"seconds_evaluation", "steps_refused"}


def _number(value: Any) -> Any:
    _require(_is_number(value), "it", value)
    return value


def _evaluation(numbers: dict[str, float]) -> dict[str, float]:
    if not {"step", "train_loss", "val_loss"} <= numbers.keys() or numbers["step"] < 0:
        raise ValueError("it is not an evaluation")
    return numbers


_Count = Annotated[int, Field(strict=True, ge=0)]
_Seconds = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
_Number = Annotated[Any, AfterValidator(_number)]
_Evaluation = Annotated[dict[str, _Number], AfterValidator(_evaluation)]


@dataclass(config=ConfigDict(extra="forbid"))
class Progress:
    """Counters and running sums of a run, and its final and best evaluation."""

    step: _Count = 0
    seconds: _Seconds = 0.0
    passes: Passes = field(default_factory=Passes)
    loss_sum: Annotated[float, Field(strict=True)] = 0.0
    weight_sum: _Seconds = 0.0
    non_finite_steps: _Count = 0
    evaluated_step: _Count = 0
    final: _Evaluation | None = None
    best: _Evaluation | None = None
    seconds_evaluation: _Seconds = 0.0
    steps_refused: _Count = 0

    @model_validator(mode="after")
    def _steps_agree(self) -> Progress:
        evaluations = [one["step"] for one in (self.final, self.best) if one is not None]
        counts = (self.non_finite_steps, self.steps_refused, self.evaluated_step)
        if max(*counts, *evaluations) > self.step:
            raise ValueError(f"it counts more steps than the {self.step} that it has taken")
        return self


class SavedCheckpoint(BaseModel):
    """All of a checkpoint; `require_fitting` checks the states of model, optimizer, scheduler."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    format: Literal[1]
    metrics_length: _Count
    progress: Progress
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    scheduler: dict[str, Any] | None
    random: dict[str, Tensor]
    random_of_others: list[dict[str, Tensor]] = []
    """Of the second process and those after it."""


def parse_checkpoint(state: Any) -> SavedCheckpoint:
    """The checkpoint, its numbers in their ranges; raises `ValueError` with the first wrong one."""
    try:
        saved = SavedCheckpoint.model_validate(dict(state) if isinstance(state, dict) else state)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from error
    missing = {one.name for one in fields(Progress)} - _LATER - state["progress"].keys()
    if missing:
        raise ValueError(f"progress: {min(missing)} is missing")
    return saved


def require_fitting(
    saved: SavedCheckpoint,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: LRScheduler | None,
) -> None:
    """Raise ValueError if the saved states cannot come from these parts after these steps."""
    require_same_tensors(saved.model, model)
    lost = saved.progress.non_finite_steps > 0
    _require_optimizer(saved.optimizer, optimizer, lost)
    if (scheduler is None) != (saved.scheduler is None):
        raise ValueError("it is of a run with another schedule")
    if scheduler is not None and saved.scheduler is not None:
        _require_schedule(saved.scheduler, scheduler, saved.progress.step)


def require_same_tensors(saved: Any, model: nn.Module) -> None:
    """Raise ValueError unless `saved` has the names, shapes and types of the model's tensors."""
    if not isinstance(saved, Mapping):
        raise ValueError("it holds no model")

    def kind(tensor: Tensor) -> tuple[Any, ...]:
        return tensor.shape, tensor.dtype, tensor.layout

    expected = model.state_dict()
    odd = sorted(map(str, expected.keys() ^ saved.keys()))
    if odd:
        raise ValueError(f"it is of another model: {odd[0]} is in one of the two only")
    for name, tensor in expected.items():
        if not isinstance(saved[name], Tensor) or kind(saved[name]) != kind(tensor):
            raise ValueError(f"it is of another model: {name} has another shape or type")


def _require_optimizer(
    saved: Mapping[str, Any], optimizer: torch.optim.Optimizer, lost: bool
) -> None:
    groups, states = saved.get("param_groups"), saved.get("state")
    if not (isinstance(groups, list) and isinstance(states, Mapping)):
        raise ValueError("optimizer: it holds no optimizer's state")
    if len(groups) != len(optimizer.param_groups):
        raise ValueError("optimizer: it is of other parameter groups")
    for i, (group, own) in enumerate(zip(groups, optimizer.param_groups, strict=True)):
        if not isinstance(group, Mapping):
            raise ValueError(f"optimizer: parameter group {i} is not a mapping")
        known = {name: value for name, value in own.items() if name != "params"}
        for name in known.keys() & group.keys():
            _require_like(group[name], known[name], f"optimizer: {name}", name, lost)
    params = [param for group in optimizer.param_groups for param in group["params"]]
    # Some optimizers also keep something under a name.
    of_params = {index: state for index, state in states.items() if not isinstance(index, str)}
    for index, state in of_params.items():
        if type(index) is not int or not 0 <= index < len(params) or not isinstance(state, Mapping):
            raise ValueError(f"optimizer: it is of other parameters ({index})")
        param = params[index]
        for name, value in state.items():
            if not isinstance(value, Tensor):
                continue
            # It has one number, or as many as the parameter, and then the same shape.
            same_rank = value.ndim == param.ndim and value.numel() > 1
            if value.shape != param.shape and (
                same_rank or value.numel() not in (0, 1, param.numel())
            ):
                where, shape = f"optimizer: {name} of parameter {index}", tuple(value.shape)
                raise ValueError(f"{where} has another shape: {shape}")
        if not float(state.get("step", 0)) >= 0:
            raise ValueError(f"optimizer: step of parameter {index} is {float(state['step']):g}")


def _require_like(saved: Any, own: Any, where: str, name: str, lost: bool) -> None:
    """Raise ValueError unless `saved` can have grown from `own`, of a fresh optimizer."""
    match own:
        case Mapping():
            if not isinstance(saved, Mapping) or saved.keys() - own.keys():
                raise ValueError(f"{where} is of another optimizer")
            for key in saved:
                _require_like(saved[key], own[key], f"{where}.{key}", key, lost)
        case str():
            _require(isinstance(saved, str), where, saved)
        case bool():
            _require(isinstance(saved, bool | None), where, saved)
        case int() | float() | None:
            _require_number(saved, own, where, name, lost)
        case tuple() | list():
            _require(isinstance(saved, Sequence) and all(map(_is_number, saved)), where, saved)


def _require_number(saved: Any, own: float | None, where: str, name: str, lost: bool) -> None:
    if own is None and (saved is None or isinstance(saved, bool)):
        return
    if isinstance(saved, Tensor) and saved.numel() == 1:
        saved = saved.item()
    _require(_is_number(saved), where, saved)
    if isinstance(own, int):
        _require(isinstance(saved, int) and saved >= min(own, 0), where, saved)
    if name in _STEP_SIZES:
        _require(saved >= 0 and (lost or math.isfinite(saved)), where, saved)
    _require(lost or not math.isnan(saved), where, saved)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require(holds: bool, where: str, value: Any) -> None:
    if not holds:
        raise ValueError(f"{where} is {value!r:.60}")


def _require_schedule(saved: Mapping[str, Any], scheduler: LRScheduler, step: int) -> None:
    if saved.get("last_epoch") != step:
        raise ValueError(f"scheduler: it is at {saved.get('last_epoch')!r:.60}, the run at {step}")
    own = scheduler.state_dict()
    for name in ("base_lrs", "lr_lambdas"):  # the same from its making to its end
        if name in own and saved.get(name) != own[name]:
            raise ValueError(f"scheduler: it is of a run with another schedule ({name})")
