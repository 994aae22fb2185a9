"""One thread for torch, here and in the processes that tests start.

The networks of the tests are so small that a second thread only waits, for long where other
processes share the cores.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
