"""PeakSLS: Adam whose step rises to a peak found on fresh mini-batches, and is then held."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from sls import settings as checks
from sls.anchor import NAME as ANCHOR
from sls.anchor import Anchor
from sls.arithmetic import read
from sls.averaging import NAME as AVERAGE
from sls.averaging import (
    Forwards,
    lent,
    load_averages,
    statistics_of,
    type_of_average,
    update_average,
)
from sls.bounds import LARGE, StepBounds
from sls.clipping import clip_
from sls.closure import Evaluation
from sls.closure_optimizer import ClosureOptimizer
from sls.directions import Adam, Direction, MomentumSGD, scaled
from sls.distributed import shard_whole_tensors
from sls.evidence import next_level, proves_nothing
from sls.judge import Judgement
from sls.net import CHECK_EVERY, Net
from sls.parameters import GroupTensors, size_of_gradients
from sls.path import Path
from sls.peak import PeakState, Phase
from sls.record import PeakRecord, Status
from sls.replay import NoReplay, Replay
from sls.saved_state import as_plain

DOUBTFUL = 6
"""So many doubtful judgements raise the question whether the loss repeats."""


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """The memory of `PeakSLS` besides tensors, kept as plain values under "search_state".

    Attributes:
        peak: what the rule of the peak remembers.
        net: the smoothed loss since the peak is held.
        taken: the number of steps that were taken.
        last_taken: the last step really taken, after annealing; 0 where there is no way back.
        level: the running mean of |f| while the peak is looked for, or None before.
        unread: losses that the net has not seen yet, as they are saved.
    """

    peak: PeakState = PeakState()  # noqa: RUF009 - frozen
    net: Net = Net()  # noqa: RUF009
    taken: int = 0
    last_taken: float = 0.0
    level: float | None = None
    unread: list[float] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Dictionaries, lists, numbers and text, which `torch.load(weights_only=True)` takes."""
        memory: dict[str, Any] = as_plain(self)
        memory["peak"]["phase"] = self.peak.phase.value
        return memory

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> PeakMemory:
        """The memory from the values that `plain` returned."""
        peak, net = PeakState.from_plain(plain["peak"]), Net.from_plain(plain["net"])
        unread = [loss for loss in plain.get("unread", []) if loss is not None]
        return cls(**{**plain, "peak": peak, "net": net, "unread": unread})


class PeakSLS(ClosureOptimizer[PeakRecord]):
    """PeakSLS: Adam whose step rises to a peak found on fresh mini-batches, and is then held.

    ```text
    input: params w, total_steps T (or None), anneal a, init_step η₀, betas β₁, β₂, eps ε,
           weight_decay λ
    for k = 0, 1, … do
        g ← ∇f_k(w_k)                                 f_k: the loss of mini-batch k
        if rising and k > 0 then                      mini-batch k has not seen step k−1
            parabola through f_k(w_{k−1}), f_k(w_k) and the slope of f_k at w_k
            η* ← its argmin, from running means of slope and curvature less their errors
            η ← min(1.4·η, 0.3·η*), or 1.2·η where nothing bounds η*; never less than before
            settle, once η = 0.3·η*, after 12 doubtful judgements, or after 60
        if settling then                              eight windows of eight steps from an anchor a
            n ← Σ 0.8ⁱ s / Σ 0.8ⁱ |s|                 s = ⟨g, a − w_k⟩ > 0: going on still descends
            η ← η·exp((1.5/8)·(n + ½)/(1 + window/6)), by a factor within 1/1.02 and 1.02
            hold after eight windows, or from k = 0.4·T on
        if held then                                  nothing is measured but the losses
            every twentieth step: η ← η/2 if their mean has risen by more than its noise
        d ← m̂/(√v̂ + ε) of Adam                        direction="sgd": m, m ← β₁·m + g
        w_{k+1} ← w_k − a_k·η·(d + λ·w_k)             a_k = min(1, (T−k)/(a·T)); 1 without T
    ```

    η has the unit of w, for SGD that of w²/f. Only a rising step needs a second forward pass, some
    10 to 30 in a run. A step that rises or settles synchronises with the device once and keeps one
    copy of the parameters; a held step costs what Adam's costs. Where the loss is lost (NaN,
    infinite) while there is an anchor, the parameters go back to it and η is halved; later, a
    mini-batch whose loss or gradient is not finite counts as one with a gradient of zero.
    `sls.peak` has the constants and the reasons, `sls.net` the rule for losses that rise.

    Source: this project; docs/no_settings.md.

    Args:
        params: parameters or parameter groups, tensors of any shape.
        total_steps: the length of the run; None: not known, no annealing.
        anneal: the last share of the run, over which the step falls, in (0, 1].
        averaging: keep a running average of the weights, in float32 where they are float16 or
            bf16, see `averaged`.
        direction: "adam", or "sgd": SGD with momentum β₁.
        weight_decay: decoupled, λ in `w ← w − η·λ·w`, as AdamW's; outside the judgements.
        betas: β₁ and β₂ of Adam's moments, each in [0, 1).
        eps: ε of Adam's denominator, ≥ 0.
        init_step: where η starts, > 0; too small is right, the rise takes a few steps.
        max_grad_norm: clip the gradient of all parameters together to this norm before the
            direction is made; slopes stay those of the unclipped one. None: no clipping.
        foreach: torch's foreach kernels; None: where all parameters are plain tensors.

    Raises:
        ValueError: a setting is out of its range.

    Examples:
        >>> import torch
        >>> from sls import PeakSLS
        >>> w = torch.nn.Parameter(torch.tensor([3.0, -1.0]))
        >>> optimizer = PeakSLS([w], total_steps=200)
        >>> losses = [float(optimizer.step(lambda: (w**2).sum())) for _ in range(200)]
        >>> print(f"{losses[0]:.2f} {losses[50]:.2f} {losses[-1]:.2f}")
        10.00 0.83 0.00
    """

    def __init__(
        self,
        params: ParamsT,
        *,
        total_steps: int | None = None,
        anneal: float = 0.5,
        averaging: bool = False,
        direction: Literal["adam", "sgd"] = "adam",
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        init_step: float = 1e-4,
        max_grad_norm: float | None = None,
        foreach: bool | None = None,
    ):
        settings = {
            "total_steps": total_steps,
            "anneal": anneal,
            "averaging": averaging,
            "direction": direction,
            "weight_decay": weight_decay,
            "betas": betas,
            "eps": eps,
            "init_step": init_step,
            "max_grad_norm": max_grad_norm,
            "foreach": foreach,
        }
        checks.check(settings, type(self).__name__)
        self._unread: list[Tensor] = []
        super().__init__(params, settings, PeakMemory().plain())

    _read: tuple[dict[str, Any], PeakMemory] | None = None
    """The last plain memory that was read or written, and the same as an object."""

    @property
    def direction(self) -> Adam | MomentumSGD:
        """Adam's, or SGD's with momentum."""
        return Adam() if self.param_groups[0]["direction"] == "adam" else MomentumSGD()

    # -------------------------------------------------------------------------------- the step

    @property
    def calls(self) -> int:
        """The number of calls of `step` so far, those of earlier processes included."""
        return self.search_state.peak.k

    def take_step(self, evaluation: Evaluation, loss: Tensor) -> PeakRecord:
        """Look back at the last step and take one, or only take one where the peak is held."""
        if self.search_state.peak.held:
            return _HeldStep(self, evaluation, loss).run()
        return _LookingStep(self, evaluation, loss).run()

    def replay(self, params: Sequence[Tensor]) -> Replay | NoReplay:
        """No replay at the held peak, where a step evaluates once.

        The first step after a resume looks at the modules, to know which processes take part.
        """
        once = self.search_state.peak.held and self._forms.processes.known
        return NoReplay() if once else super().replay(params)

    @property
    def all_params(self) -> list[Tensor]:
        """The parameters of all groups."""
        return [param for group in self.param_groups for param in group["params"]]

    # ------------------------------------------------------------------------------- the state

    @property
    def search_state(self) -> PeakMemory:
        """The memory of the rule and of the net."""
        plain = self.param_groups[0]["search_state"]
        if self._read is None or self._read[0] is not plain:
            self._read = plain, PeakMemory.from_plain(plain)
        return self._read[1]

    def remember(self, memory: PeakMemory) -> None:
        """Write it; a new dictionary, so that a saved one does not change."""
        plain = memory.plain()
        self.param_groups[0]["search_state"] = plain
        self._read = plain, memory

    def unread_losses(self, loss: Tensor) -> list[float]:
        """The losses that the net has not seen; none while they are few, to read them together."""
        saved = self.search_state.unread
        self._unread.append(loss)
        if len(saved) + len(self._unread) < CHECK_EVERY:
            return []
        self._save_unread()
        losses = self.search_state.unread
        self.remember(replace(self.search_state, unread=[]))
        return losses

    def _save_unread(self) -> None:
        if self._unread:
            losses = read(*self._unread)
            self._unread.clear()
            memory = self.search_state
            self.remember(replace(memory, unread=[*memory.unread, *losses]))

    def state_dict(self) -> dict[str, Any]:
        """The whole state, plain values and tensors; reads the losses still on the device."""
        self._save_unread()
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a `state_dict`; training goes on as if it had not stopped, bit for bit.

        Raises:
            ValueError: the state is that of another optimizer, or of other groups.
        """
        super().load_state_dict(state_dict)
        keys = [key for group in state_dict["param_groups"] for key in group["params"]]
        saved = [state_dict["state"].get(key, {}) for key in keys]
        load_averages(self.all_params, self.state, saved)
        shard_whole_tensors(self.state)
        self._unread.clear()

    def make_state(self, group: GroupTensors) -> None:
        """Make the state of a step; the anchor by name only, since a held peak has none."""
        super().make_state(group)
        for param in group.raw_params:
            state = self.state.setdefault(param, {})
            state[ANCHOR] = {}
            if self.averages:
                state[AVERAGE] = torch.zeros_like(param, dtype=type_of_average(param))
        # torch.distributed.checkpoint loads no list that is longer than the one that is there.
        plain = self.param_groups[0]["search_state"]
        self.param_groups[0]["search_state"] = {**plain, "unread": [None] * CHECK_EVERY}

    def __getstate__(self) -> dict[str, Any]:
        self._save_unread()
        return super().__getstate__()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("_unread", [])

    # ----------------------------------------------------------------------------- the average

    @property
    def averages(self) -> bool:
        """Whether an average of the weights is kept."""
        return bool(self.param_groups[0]["averaging"])

    @contextmanager
    def averaged(self, recompute: Forwards | None = None) -> Iterator[None]:
        """A context in which the parameters are their running average; afterwards what they were.

        Both are exact, to the bit; the average is rounded to the type of the parameters, of which,
        where they are float16 or bf16, there is a copy within. Take no step and save no state
        within.

        Args:
            recompute: forward passes, as a callable without arguments or several of them.
                BatchNorm's running statistics within are the means over these passes, since no step
                ever saw the averaged weights. None: the statistics stay those of the last steps.

        Raises:
            RuntimeError: no average is kept.

        Examples:
            >>> import torch
            >>> from sls import PeakSLS
            >>> model = torch.nn.Linear(2, 1)
            >>> optimizer = PeakSLS(model.parameters(), averaging=True)
            >>> batches = [torch.ones(4, 2), torch.zeros(4, 2)]
            >>> for x in batches:
            ...     loss = optimizer.step(lambda: model(x).square().mean())
            >>> with optimizer.averaged(lambda: model(x) for x in batches):
            ...     prediction = model(torch.ones(1, 2))  # validate here
        """
        if not self.averages:
            raise RuntimeError("no average is kept; build PeakSLS(..., averaging=True)")
        params = self.all_params
        with self._forms.processes.other_values(), lent(params, self.state):
            if recompute is None:
                yield
                return
            with statistics_of(recompute, (param.device for param in params)):
                yield


Move = Callable[[float, float], None]


class _Step:
    """The part that both kinds of step share."""

    def __init__(self, optimizer: PeakSLS, evaluation: Evaluation, loss: Tensor):
        self.optimizer = optimizer
        self.evaluation = evaluation
        self.loss = loss
        self.ranks = evaluation.ranks
        self.settings = optimizer.param_groups[0]
        self.groups = [GroupTensors(group, optimizer.state) for group in optimizer.param_groups]
        self.direction: Direction = scaled(optimizer.reading or optimizer.direction, self.groups)
        self.memory = optimizer.search_state
        self.factor = optimizer.anneal_factor(self.memory.peak.k)
        self.anchor = Anchor(optimizer.all_params, optimizer.state)

    def take(self, peak: PeakState, loss: float | None = None) -> None:
        """Move by the peak's step, as far as the parameters' type allows; keep and remember.

        Args:
            peak: the state, with its step.
            loss: the mini-batch's loss, where it was read.
        """
        assert peak.step_size is not None  # noqa: S101
        step_size = peak.step_size
        moves: list[Move] = [partial(self.direction.step, group) for group in self.groups]
        if step_size > LARGE:
            along = [Path(group, self.direction) for group in self.groups]
            step_size = StepBounds(along, self.ranks).at_most(step_size)
            peak = replace(peak, step_size=step_size)
            moves = [path.take for path in along]
        if peak.anchor_is_due:
            self.anchor.drop_here()
        elif not peak.held:
            self.anchor.complete()
        taken = step_size * self.factor
        for group, move in zip(self.groups, moves, strict=True):
            decay = taken * group.weight_decay
            move(taken, decay)
            self.anchor.decay(group.raw_params, decay)
        after = peak.after_step(self.settings["total_steps"])
        if after.held:
            self.anchor.forget()
        count = self.memory.taken + 1
        if self.optimizer.averages:
            params, foreach = self.optimizer.all_params, self.settings["foreach"]
            update_average(params, self.optimizer.state, count, foreach)
        level = self.memory.level if loss is None else next_level(self.memory.level, loss)
        self.optimizer.remember(
            replace(self.memory, peak=after, taken=count, last_taken=taken, level=level)
        )
        self.optimizer.report_step_size(step_size)

    def started(self) -> PeakState:
        """The peak's state with a step, `init_step` at first."""
        peak = self.memory.peak
        if peak.step_size is not None:
            return peak
        return replace(peak, step_size=self.settings["init_step"])

    def record(self, status: Status, **judged: float | None) -> PeakRecord:
        return PeakRecord(
            loss_on_device=self.loss,
            step_size=self.settings["lr"],
            forwards=self.evaluation.forwards,
            status=status,
            factor=self.factor,
            **judged,
        )


class _LookingStep(_Step):
    """A step while the peak is looked for: one synchronisation."""

    def run(self) -> PeakRecord:
        judges, device = self._can_judge(), self.loss.device
        to_anchor = [self.anchor.slope(device)] if self.anchor.known else []
        at_anchor = [self._loss_at_anchor()] if judges else []
        size = size_of_gradients(self.groups, device)
        clip_(self.groups, self.settings["max_grad_norm"], device, self.ranks)
        # The slope first: the type of the first is that of all.
        *to_anchor, size = self.ranks.slopes(*to_anchor, size)
        loss, size_read, *looked = read(self.loss, size, *to_anchor, *at_anchor)
        if not all(map(math.isfinite, (loss, size_read, *looked[:1]))):
            return self._fail(loss, looked[1] if judges else None)
        if judges and self.memory.peak.untried and self._more_than_doubled(loss, looked[1]):
            return self._go_back()
        if judges:
            return self._judge(loss, looked)
        peak = self.started()
        if looked and peak.phase is Phase.SETTLING and not self._proves_nothing(looked[0], loss):
            peak = peak.with_slope(looked[0])
        self.take(peak, loss)
        return self.record(Status.ACCEPTED, target=peak.target, persistence=peak.persistence)

    @property
    def _step(self) -> float:
        return self.memory.last_taken

    def _can_judge(self) -> bool:
        """Whether the last step rose from an anchor: after a failed step there is none to judge."""
        rising = self.memory.peak.phase is Phase.RISING
        return rising and self.anchor.known and self._step > 0

    def _loss_at_anchor(self) -> Tensor:
        """`f_k(w_{k−1})`, with the random numbers of `f_k(w_k)`."""
        with self.anchor.visited():
            return self.evaluation.loss()

    def _judge(self, loss: float, looked: Sequence[float]) -> PeakRecord:
        judgement = Judgement.towards_anchor(looked, loss, self._step)
        peak = self.started()
        # A loss that is lost at the anchor alone says nothing about the step.
        if math.isfinite(judgement.gain) and not self._proves_nothing(looked[0], loss, looked[1]):
            peak = peak.with_judgement(judgement)
        else:
            peak = replace(peak, place=0)
        if peak.doubts == DOUBTFUL:
            self.optimizer.hints.check_that_the_loss_repeats(self.evaluation, self.loss)
        self.take(peak, loss)
        return self.record(
            Status.ACCEPTED,
            gain=judgement.gain,
            slope_near=judgement.slope_near,
            slope_far=judgement.slope_far,
            curvature=judgement.curvature,
            target=peak.target,
        )

    def _more_than_doubled(self, loss: float, at_anchor: float) -> bool:
        return loss - at_anchor > max(abs(at_anchor), self.memory.level or 0.0)

    def _proves_nothing(self, slope: float, loss: float, at_anchor: float | None = None) -> bool:
        """Whether this mini-batch says nothing about the way from the anchor, like a masked one."""
        return self._step > 0 and proves_nothing(
            step_size=self._step,
            slope=slope / self._step,
            loss=loss,
            loss_next=loss if at_anchor is None else at_anchor,
            level=self.memory.level,
            eps=torch.finfo(self.loss.dtype).eps,
        )

    def _fail(self, loss: float, at_anchor: float | None) -> PeakRecord:
        """Go back if the steps since the anchor lost the loss; else nothing but k changes."""
        peak = self.memory.peak
        if not math.isfinite(loss) and self.anchor.known and self._step > 0:
            if at_anchor is None:
                at_anchor = float(self._loss_at_anchor())
            if math.isfinite(at_anchor):
                return self._go_back()
        # The place stays: what is looked back at next is still the last step that was taken.
        self.optimizer.remember(replace(self.memory, peak=replace(peak, k=peak.k + 1)))
        status = Status.NONFINITE_SLOPE if math.isfinite(loss) else Status.NONFINITE_LOSS
        return self.record(status)

    def _go_back(self) -> PeakRecord:
        self.anchor.go_back()
        self.anchor.forget()
        before = self.memory.peak
        peak = replace(before.gone_back(), k=before.k + 1)
        assert peak.step_size is not None  # noqa: S101 - a step led here
        self.optimizer.remember(replace(self.memory, peak=peak, last_taken=0.0))
        self.optimizer.report_step_size(peak.step_size)
        return self.record(Status.LOWERED)


class _HeldStep(_Step):
    """A step at the peak that is held: nothing is read but the losses, some at a time.

    With a GradScaler one number more is read in each step, as `GradScaler.step` does.
    """

    def run(self) -> PeakRecord:
        device = self.loss.device
        size = self.ranks.largest(size_of_gradients(self.groups, device))
        if self.evaluation.scaled and not math.isfinite(float(size)):
            return self._skip()
        bad = ~torch.isfinite(self.loss + size)
        for group in self.groups:
            group.silence(bad)
        clip_(self.groups, self.settings["max_grad_norm"], device, self.ranks)
        losses = self.optimizer.unread_losses(self.loss)
        self.memory = self.optimizer.search_state
        peak, status = self.started(), Status.ACCEPTED
        if losses:
            net = self.memory.net.with_losses(losses)
            if net.caught:
                peak, net, status = peak.lowered(), Net(), Status.LOWERED
            self.memory = replace(self.memory, net=net)
        self.take(peak)
        return self.record(status, target=peak.target)

    def _skip(self) -> PeakRecord:
        """The record of a step whose scaled gradients overflowed: nothing but k changes."""
        peak = self.memory.peak
        self.optimizer.remember(replace(self.memory, peak=replace(peak, k=peak.k + 1)))
        return self.record(Status.NONFINITE_SLOPE)
