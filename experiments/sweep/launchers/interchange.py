"""parsl's interchange as a process that a terminal's Ctrl-C spares and that outlives nobody.

parsl starts it in the conductor's process group, where Ctrl-C would end it and with it the way
back for the results; and an interchange whose conductor was killed would wait for ever.
"""

from __future__ import annotations

import os
import runpy
import threading
import time


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    os.setsid()
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    runpy.run_module("parsl.executors.high_throughput.interchange", run_name="__main__")
