"""What else there is to do than one run: `python -m experiments --help`."""

from __future__ import annotations

import sys

from experiments.commands import command

if __name__ == "__main__":
    sys.exit(command())
