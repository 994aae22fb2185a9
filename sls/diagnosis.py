"""The last steps of an optimizer in words: what is unusual about them, and what to try. No torch.

Nothing here is part of the saved state, and nothing waits for a device.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from sls.record import Ended, PeakRecord, Status, StepRecord

WINDOW = 100
"""So many steps are looked at."""
REFUSED_IN_A_ROW = 10
"""So many steps in a row that moved nothing are unusual."""
FEWEST_STEPS = 20
"""Of fewer steps nothing but refusals is said."""
FAR = 1000.0
"""A step so many times smaller or larger than within the window has collapsed or run away."""
FAILING_SHARE = 0.5
"""The share of searches that fail, or of steps that were lowered or judged in vain."""
MANY_TRIALS = 10.0
"""More trials than this in the mean are many."""

ADVICE: Mapping[Status, str] = {
    Status.NONFINITE_LOSS: "the loss is NaN or infinite before the step: look for a bad "
    "mini-batch, a division by 0 or a logarithm of 0; in float16, for a forward pass that "
    "overflows",
    Status.NONFINITE_SLOPE: "a gradient is NaN or infinite: look for a root or a norm at 0; in "
    "float16, pass scaler= to step()",
    Status.NONFINITE_TRIALS: "the loss of every trial is NaN or infinite: lower init_step, or look "
    "for a loss that overflows",
    Status.EXHAUSTED: "no trial lowers the loss: the closure may evaluate another mini-batch, or "
    "other noise, in every call (random numbers must come from torch), or the model may be in "
    "eval mode; in bf16 the loss may be too coarse to tell: compute it in float32",
    Status.IDLE: "the slope is exactly 0: every target may be masked, or nothing that is trained "
    "reaches the loss",
}
"""What to try where steps of a status move nothing."""


class Diagnosis:
    """The last records of one optimizer, and what can be said about them.

    Args:
        optimizer: its name, for messages.
    """

    def __init__(self, optimizer: str):
        self._optimizer = optimizer
        self._records: deque[Ended] = deque(maxlen=WINDOW)

    def see(self, record: Ended) -> None:
        """Keep the record of one more step."""
        self._records.append(record)

    def text(self) -> str:
        """What is unusual and what to try, a sentence or more; else that nothing is."""
        records = list(self._records)
        if not records:
            return f"{self._optimizer}: no step since it was built or loaded"
        found = [sentence for rule in _RULES if (sentence := rule(records))]
        if not found:
            steps = "step" if len(records) == 1 else f"{len(records)} steps"
            return f"{self._optimizer}: nothing unusual in the last {steps}"
        return "\n".join(f"{self._optimizer}: {sentence}." for sentence in found)


def _refused(records: Sequence[Ended]) -> str | None:
    """Steps in a row that moved nothing."""
    row = 0
    for record in reversed(records):
        if record.status.moved:
            break
        row += 1
    if row < REFUSED_IN_A_ROW:
        return None
    status = records[-1].status
    return f"the last {row} steps moved nothing ({status}); {ADVICE[status]}"


def _failing_searches(records: Sequence[Ended]) -> str | None:
    searched = [x for x in records if isinstance(x, StepRecord) and x.searched]
    failed = [x for x in searched if x.status in (Status.EXHAUSTED, Status.FALLBACK)]
    if len(searched) < FEWEST_STEPS or len(failed) < FAILING_SHARE * len(searched):
        return None
    if all(not x.status.moved for x in records[-REFUSED_IN_A_ROW:]):
        return None  # said already
    return (
        f"{len(failed)} of the last {len(searched)} searches failed; {ADVICE[Status.EXHAUSTED]}; "
        "or ask for less: a smaller c"
    )


def _collapsed(records: Sequence[Ended]) -> str | None:
    largest, now = max(x.step_size for x in records), records[-1].step_size
    if len(records) < FEWEST_STEPS or now * FAR > largest:
        return None
    return (
        f"the step has collapsed from {largest:.3g} to {now:.3g} within {len(records)} steps; the "
        "gradient may have grown (try max_grad_norm=), the loss may not repeat within a step, or "
        'be too coarse to show a decrease; larger batches, or smoothing="ratio" of ALSALS, judge '
        "with less noise"
    )


def _ran_away(records: Sequence[Ended]) -> str | None:
    least, now = min(x.step_size for x in records), records[-1].step_size
    if len(records) < FEWEST_STEPS or now < FAR * least:
        return None
    return (
        f"the step has run away from {least:.3g} to {now:.3g} within {len(records)} steps; the "
        "gradient may be vanishing, or the loss flat (a saturated or diverged model): look at the "
        "loss; a smaller growth, a larger c, or PeakSLS, which judges on fresh mini-batches, hold "
        "it back"
    )


def _doubted(records: Sequence[Ended]) -> str | None:
    """Steps of `PeakSLS` whose judgements never were sure of a gain, or that were lowered."""
    peaks = [x for x in records if isinstance(x, PeakRecord)]
    judged = [x for x in peaks if x.searched and x.target is not None]
    doubtful = [x for x in judged if x.target == 0]
    lowered = [x for x in peaks if x.status is Status.LOWERED]
    if len(lowered) >= 3:
        return (
            f"the peak was lowered {len(lowered)} times within {len(peaks)} steps: the loss keeps "
            "being lost, or rising; lower init_step, clip with max_grad_norm=, or look for bad "
            "mini-batches"
        )
    if len(judged) >= 10 and len(doubtful) >= FAILING_SHARE * len(judged):
        return (
            f"{len(doubtful)} of {len(judged)} judgements saw no gain beyond their error: the loss "
            "of a mini-batch is mostly noise, or too coarse for steps this small; raise init_step, "
            "take larger batches, or compute the loss in float32"
        )
    return None


def _costly(records: Sequence[Ended]) -> str | None:
    trials = [x.trials for x in records if isinstance(x, StepRecord) and x.searched]
    if len(trials) < FEWEST_STEPS or statistics.fmean(trials) <= MANY_TRIALS:
        return None
    return (
        f"a search takes {statistics.fmean(trials):.1f} trials in the mean; a smaller shrink, a "
        'slower growth, or search="adaptive" make it cheaper'
    )


_RULES = (_refused, _failing_searches, _collapsed, _ran_away, _doubted, _costly)


def flat(record: Ended, prefix: str) -> dict[str, float | int | str]:
    """The record as plain numbers and text under `prefix`; what was not measured is left out."""
    values: dict[str, Any] = {"loss": record.loss, "step_size": record.step_size}
    values["step_taken"] = record.step_size * record.factor if record.status.moved else 0.0
    for name in record.__dataclass_fields__:  # type: ignore[attr-defined]
        if name not in ("loss", "loss_on_device", "step_size"):
            values[name] = getattr(record, name)
    values |= {"trials": record.trials, "searched": int(record.searched)}
    values["status"] = record.status.value
    return {f"{prefix}{name}": value for name, value in values.items() if value is not None}
