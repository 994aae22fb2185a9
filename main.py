"""Train one model on one task with one optimizer: `python main.py --help`."""

from __future__ import annotations

import sys

from experiments.cli import main

if __name__ == "__main__":
    sys.exit(main())
