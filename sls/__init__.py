"""Learning-rate-free line-search optimizers for PyTorch.

from sls import PeakSLS

optimizer = PeakSLS(model.parameters(), total_steps=len(loader))
for inputs, targets in loader:
    loss = optimizer.step(lambda: criterion(model(inputs), targets))
"""

from sls.adam_sls import AdamSLS
from sls.alsals import ALSALS
from sls.line_search import LineSearch
from sls.peak_record import PeakRecord
from sls.peak_sls import PeakSLS
from sls.record import Status, StepRecord
from sls.salsa import SaLSA
from sls.sgd_sls import SLS

__all__ = [
    "ALSALS",
    "SLS",
    "AdamSLS",
    "LineSearch",
    "PeakRecord",
    "PeakSLS",
    "SaLSA",
    "Status",
    "StepRecord",
]
__version__ = "0.1.0"
