"""A learning rate for AdamW, found by a few short runs of `PeakSLS`."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sls.peak import FASTEST_SETTLING, Phase
from sls.peak_sls import PeakSLS
from sls.record import PeakRecord
from sls.restoring import restored

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ABOVE = 1.3
"""The suggestion is so many times the mean step of the probes. Chosen, as the number of probes
was, on the six choosing rows of docs/no_settings.md."""
CUT_SHORT = 0.9
"""A probe is cut short if its step rose by more than this share of what settling allows."""
LONGEST = 200
"""A probe that has not found its peak after so many steps has failed; it needs at most 126."""
WIDE = 4.0
"""Probes that differ by more than this factor are mentioned in `explain`."""

COLORS = ("#1f4e8c", "#1b7f5c", "#c8843c", "#7a4e9c", "#8a8f98")
SUGGESTED = "#c8443c"
FADE = 0.7
"""The factor of the running mean of the loss that is drawn."""
MISSING = "Suggestion.plot needs matplotlib: pip install matplotlib"

LossFunction = Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class Probe:
    """One short run of `PeakSLS` from the model's weights.

    Attributes:
        records: the record of every step, in order; `sls.plot(records)` draws them.
        rising: the number of steps until the step settled.
        seen: whether the rise ended at a bound that was measured, and not for want of one.
    """

    records: tuple[PeakRecord, ...] = field(repr=False)
    rising: int
    seen: bool

    @property
    def settling(self) -> range:
        """The numbers of the settling steps."""
        return range(self.rising, len(self.records))

    @property
    def counted(self) -> range:
        """The numbers of the steps that count: the second half of the settling ones."""
        return self.settling[len(self.settling) // 2 :]

    @property
    def cut_short(self) -> bool:
        """Whether the step rose as fast as it may all the time: it would have gone on rising."""
        first, last = (self.records[self.settling[at]].step_size for at in (0, -1))
        fastest = FASTEST_SETTLING ** len(self.settling)
        return self.seen and last > CUT_SHORT * fastest * first

    @property
    def step_size(self) -> float:
        """The geometric mean of the steps that count."""
        return statistics.geometric_mean(self.records[k].step_size for k in self.counted)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A learning rate, from probes.

    `float(suggestion)` is the rate, too.

    Args:
        probes: the probes, in order; one at least.
    """

    probes: tuple[Probe, ...]

    @property
    def lr(self) -> float:
        """The peak rate for AdamW, in the unit of the parameters."""
        return ABOVE * statistics.geometric_mean(probe.step_size for probe in self.counted)

    def __float__(self) -> float:
        return self.lr

    @property
    def counted(self) -> tuple[Probe, ...]:
        """The probes that count: those that were not cut short, or all, if all were."""
        return tuple(x for x in self.probes if not x.cut_short) or self.probes

    @property
    def steps(self) -> int:
        """The number of steps of all probes: backward passes, and mini-batches that were read."""
        return sum(len(probe.records) for probe in self.probes)

    @property
    def forwards(self) -> int:
        """The number of forward passes of all probes."""
        return sum(record.forwards for probe in self.probes for record in probe.records)

    @property
    def spread(self) -> float:
        """The largest step over the smallest, of the probes that count; 1 for one probe."""
        found = [probe.step_size for probe in self.counted]
        return max(found) / min(found)

    def explain(self) -> str:
        """What was found, in words, and whatever makes it doubtful."""
        found = ", ".join(f"{probe.step_size:.2g}" for probe in self.counted)
        text = [
            f"lr={self.lr:.2g}: {ABOVE} times the mean of the steps found, {found}; "
            f"{self.steps} steps, {self.forwards} forward passes"
        ]
        if all(probe.cut_short for probe in self.probes):
            text.append(
                "The step was still rising at the end of every probe: try a larger rate, too, if "
                "the run is long"
            )
        elif len(self.counted) < len(self.probes):
            left_out = len(self.probes) - len(self.counted)
            text.append(f"{left_out} of {len(self.probes)} probes were cut short and do not count")
        blind = sum(not probe.seen for probe in self.counted)
        if blind:
            text.append(
                f"{blind} of {len(self.probes)} probes never saw a gain beyond its noise: the loss "
                "of a mini-batch is mostly noise, so give larger mini-batches or more probes"
            )
        if self.spread > WIDE:
            text.append(
                f"The probes differ by a factor of {self.spread:.0f}: give more probes, and try "
                "the rate above and below"
            )
        return ". ".join(text)

    def plot(self) -> Figure:
        """Draw the probes: their losses, and their steps with the suggested rate.

        The steps that count are thick.

        Returns:
            A matplotlib figure, for `figure.savefig("lr.png")`, or for a notebook to show.

        Raises:
            ImportError: matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
            from matplotlib.ticker import MaxNLocator
        except ImportError as error:
            raise ImportError(MISSING) from error
        figure = Figure(figsize=(7.0, 5.0), layout="constrained")
        axes: list[Axes] = list(figure.subplots(2, sharex=True))
        for number, probe in enumerate(self.probes):
            color = COLORS[number % len(COLORS)]
            _draw_losses(axes[0], probe, color)
            _draw_steps(axes[1], probe, color, label=f"probe {number + 1}")
        axes[0].set_ylabel("loss")
        label = f"suggested: {self.lr:.2g}"
        axes[1].axhline(self.lr, color=SUGGESTED, linestyle="--", linewidth=1.2, label=label)
        axes[1].set(ylabel="step", xlabel="training step of a probe", yscale="log")
        axes[1].xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[1].legend(frameon=False, fontsize="small", loc="lower right")
        for panel in axes:
            panel.spines[["top", "right"]].set_visible(False)
            panel.grid(axis="y", color="#e6e8ec", linewidth=0.6)
            panel.set_axisbelow(True)
        return figure


def suggest_lr(
    model: nn.Module,
    loader: Iterable[Any],
    loss_fn: LossFunction,
    *,
    probes: int = 4,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    max_grad_norm: float | None = None,
    init_step: float = 1e-4,
) -> Suggestion:
    """Suggest a peak learning rate for AdamW, from a few short runs of `PeakSLS`.

    ```text
    for j = 1, …, probes do
        w ← the model's weights
        train with PeakSLS until it holds its peak         65 to 130 steps, most often 75
        η_j ← geometric mean of its step over the second half of the settling steps
    lr ← 1.3·geometric mean of η_j, without the probes that were cut short
    ```

    A probe is cut short if its step rose as fast as settling allows (1.02 per step) all the time.

    It is the peak of a schedule with warm-up and annealing. Afterwards everything is what it was,
    to the bit: parameters, buffers, gradients, modes, and random numbers of torch, NumPy and
    Python, also those of the loader. Frozen parameters are left alone, and not copied.

    It needs the memory of a training step with Adam and two more copies of the trainable
    parameters. The same random numbers give the same rate. Call it in one process.

    Source: this project; docs/suggest_lr.md has its ratio to the best rate on ten small tasks.

    Args:
        model: trained in the mode that it is in, or in training mode if it is in evaluation mode.
        loader: mini-batches as in training, shuffled: a `DataLoader`, a list, or anything that can
            be iterated over repeatedly; begun anew when it ends. Tensors go to the device of the
            model's first trainable parameter.
        loss_fn: called as `loss_fn(model(inputs), targets)` where a mini-batch is a pair, and as
            `loss_fn(model, batch)` where it is anything else, such as a dictionary. Returns the
            mean loss, a scalar.
        probes: the number of probes, at least 1; fewer are cheaper and less sure.
        weight_decay: that of your AdamW, decoupled.
        betas: β₁ and β₂ of your AdamW, each in [0, 1).
        eps: ε of your AdamW, ≥ 0.
        max_grad_norm: the norm to which your training clips gradients, or None.
        init_step: where a probe starts, > 0, below the rate that you expect.

    Returns:
        The rate as `.lr`, what was measured, `.explain()` in words and `.plot()` as a picture.

    Raises:
        TypeError: the loader is an iterator, which cannot be begun anew; the loss is no scalar.
        ValueError: the model has no trainable parameters; the loader yields nothing; a setting is
            out of its range.
        RuntimeError: the first loss is not finite, or a probe found no peak.

    Examples:
        >>> import torch
        >>> from sls import suggest_lr
        >>> _ = torch.manual_seed(0)
        >>> x = torch.randn(256, 10)
        >>> y = (x[:, 0] + x[:, 1] > 0).long()
        >>> loader = list(zip(x.split(32), y.split(32)))
        >>> model = torch.nn.Sequential(
        ...     torch.nn.Linear(10, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2)
        ... )
        >>> suggestion = suggest_lr(model, loader, torch.nn.CrossEntropyLoss())
        >>> optimizer = torch.optim.AdamW(model.parameters(), lr=suggestion.lr)
        >>> 1e-3 < suggestion.lr < 1e-1
        True
    """
    params = _trainable(model)
    _check(loader, loss_fn, probes)
    settings = {
        "weight_decay": weight_decay,
        "betas": betas,
        "eps": eps,
        "max_grad_norm": max_grad_norm,
        "init_step": init_step,
    }
    done = []
    with restored(model, loader) as weights:
        losses = _losses(model, loader, loss_fn, params[0].device)
        for _ in range(probes):
            done.append(_probe(PeakSLS(params, **settings), losses))  # type: ignore[arg-type]
            weights.restore()
            for param in params:
                param.grad = None
    return Suggestion(tuple(done))


# ------------------------------------------------------------------------------------ one probe


def _probe(optimizer: PeakSLS, losses: Iterator[Callable[[], Tensor]]) -> Probe:
    """Train until the peak is held."""
    records: list[PeakRecord] = []
    rising = 0
    while not optimizer.search_state.peak.held and len(records) < LONGEST:
        optimizer.step(next(losses))
        record = optimizer.last_step
        assert record is not None  # noqa: S101 - a step was taken
        if not records and not math.isfinite(record.loss):
            raise RuntimeError(f"the loss of the first mini-batch is {record.loss} before any step")
        records.append(record)
        rising += optimizer.search_state.peak.phase is Phase.RISING
    peak = optimizer.search_state.peak
    if not peak.held:
        ends = Counter(record.status.value for record in records)
        raise RuntimeError(
            f"a probe found no peak in {LONGEST} steps; they ended as follows: "
            + ", ".join(f"{status} {count} times" for status, count in ends.most_common())
        )
    return Probe(tuple(records), rising, peak.seen)


def _losses(
    model: nn.Module, loader: Iterable[Any], loss_fn: LossFunction, device: torch.device
) -> Iterator[Callable[[], Tensor]]:
    """A closure for each mini-batch, without end."""
    for batch in _without_end(loader):
        yield _closure(model, _moved(batch, device), loss_fn)


def _closure(model: nn.Module, batch: Any, loss_fn: LossFunction) -> Callable[[], Tensor]:
    def loss() -> Tensor:
        if isinstance(batch, (tuple, list)) and len(batch) == 2:
            value = loss_fn(model(batch[0]), batch[1])
        else:
            value = loss_fn(model, batch)
        if not isinstance(value, Tensor) or value.numel() != 1:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(f"loss_fn must return the mean loss, a scalar tensor; got {got}")
        return value

    return loss


def _without_end(loader: Iterable[Any]) -> Iterator[Any]:
    while True:
        empty = True
        for batch in loader:
            empty = False
            yield batch
        if empty:
            raise ValueError("the loader yields no mini-batch, or none when it is begun anew")


def _moved(batch: Any, device: torch.device) -> Any:
    """The batch with its tensors on the device."""
    if hasattr(batch, "to"):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {key: _moved(value, device) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        values = [_moved(value, device) for value in batch]
        named = getattr(batch, "_make", None)
        return type(batch)(values) if named is None else named(values)
    return batch


# ------------------------------------------------------------------------------------ arguments


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    params = [param for param in model.parameters() if param.requires_grad]
    if not params:
        raise ValueError("the model has no trainable parameters: none with requires_grad=True")
    if any(is_lazy(param) for param in model.parameters()):
        raise ValueError("the model has lazy parameters: run one forward pass first")
    return params


def _check(loader: Iterable[Any], loss_fn: LossFunction, probes: int) -> None:
    if isinstance(loader, Iterator):
        raise TypeError(
            "the loader is an iterator, which cannot be begun anew; pass the DataLoader itself, or "
            "a list of mini-batches: list(itertools.islice(loader, 400))"
        )
    if not callable(loss_fn):
        raise TypeError(f"loss_fn must be callable; got {loss_fn!r:.60}")
    if not isinstance(probes, int) or isinstance(probes, bool) or probes < 1:
        raise ValueError(f"probes must be a whole number of at least 1; got {probes!r:.60}")


# ---------------------------------------------------------------------------------- the picture


def _draw_losses(axes: Axes, probe: Probe, color: str) -> None:
    losses = [record.loss for record in probe.records]
    mean, means = losses[0], []
    for loss in losses:
        # A loss that is not finite would stay in the mean for good.
        if math.isfinite(loss):
            mean = FADE * mean + (1 - FADE) * loss
        means.append(mean)
    axes.plot(losses, color=color, linewidth=0.7, alpha=0.3)
    axes.plot(means, color=color, linewidth=1.5)


def _draw_steps(axes: Axes, probe: Probe, color: str, label: str) -> None:
    steps: Sequence[float] = [record.step_size for record in probe.records]
    counted = probe.counted
    axes.plot(steps, color=color, linewidth=0.8, alpha=0.6)
    axes.plot(counted, [steps[k] for k in counted], color=color, linewidth=2.0, label=label)
