"""Learning-rate-free line-search optimizers for PyTorch.

    from sls import PeakSLS

    optimizer = PeakSLS(model.parameters(), total_steps=len(loader))
    for inputs, targets in loader:
        loss = optimizer.step(lambda: criterion(model(inputs), targets))

Which file answers which question:

| question | file |
| --- | --- |
| What does each optimizer do? | `sls`, `adam_sls`, `plasls`, `alsals`, `salsa`, `peak_sls` |
| How do I bring a direction or a condition of my own? | `backtracking` |
| How does a line search go around AdamW, Muon, …? | `around`; `snapshot`: the way back |
| What happens in `step()`? | `closure_optimizer`, then `line_search` or `peak_sls` |
| How do units of parameters get a step each? | `units`: splitting a model; `unit_search` |
| When does a search stop shrinking the step? | `search` |
| When is a trial accepted? | `conditions` |
| Which way does a step go, and what is its slope? | `directions`; `moments`: Adam's |
| How does a step move along it, whole or piece by piece? | `path`, `pieces` |
| Where does the next search start, and is one due? How is a step annealed? | `step_sizes` |
| What is too small or too large a step? | `bounds` |
| When does a mini-batch say nothing about the step? | `evidence` |
| How does `PeakSLS` choose its step? | `peak`: the rule; `judge`: the evidence; `net`: after it |
| Where does `PeakSLS` look back to, and how are weights averaged? | `anchor`, `averaging` |
| How is the loss evaluated? | `closure`: its forms; `replay`: dropout, BatchNorm |
| How are random generators read and set? | `random_numbers` |
| How are modules found, also in compiled code? | `calls`, `compiled` |
| How is it evaluated in parts? | `accumulation` |
| How do many processes take the same step? | `distributed`: who they are; `ranks`: their numbers |
| How are gradients clipped, and losses scaled for float16? | `clipping`, `scaling` |
| What did a step do? | `record` |
| How does code for the earlier package run? | `old_code`, `ken_sls` |
| What is unusual about the last steps? What did a whole run look like? | `diagnosis`, `plotting` |
| Which learning rate is right for AdamW? | `suggestion`; `restoring`: the way back |
| Which settings are there, and what do errors say? | `settings` |
| What does the optimizer warn about? | `hints`; `frameworks`: where a framework made the closure |
| What does it warn about that others wrote between two steps? | `between_steps` |
| Whose state is a `state_dict`, and how are two in one? | `saved_state`, `joined_state` |
| How does it fit into Lightning, and into the Trainer? | `integrations` |
| How are lists of tensors computed with? | `parameters`, `arithmetic`; on which `devices` |
"""

from sls import conditions, directions, units
from sls.accumulation import accumulate
from sls.adam_sls import AdamSLS
from sls.alsals import ALSALS
from sls.backtracking import Backtracking
from sls.conditions import Condition
from sls.directions import Direction
from sls.line_search import LineSearch
from sls.peak_sls import PeakSLS
from sls.plasls import PLASLS
from sls.plotting import plot
from sls.record import PeakRecord, Status, StepRecord
from sls.salsa import SaLSA
from sls.sls import SLS
from sls.suggestion import Suggestion, suggest_lr

__all__ = [
    "ALSALS",
    "PLASLS",
    "SLS",
    "AdamSLS",
    "Backtracking",
    "Condition",
    "Direction",
    "LineSearch",
    "PeakRecord",
    "PeakSLS",
    "SaLSA",
    "Status",
    "StepRecord",
    "Suggestion",
    "accumulate",
    "conditions",
    "directions",
    "plot",
    "suggest_lr",
    "units",
]
__version__ = "0.1.0"
