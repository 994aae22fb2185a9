"""Train one model on one task with one optimizer: `python main.py --help`."""

from __future__ import annotations

from experiments import stopping

if __name__ == "__main__":
    stopping.install()
    # Only now: all that is imported from here on may be interrupted.
    from experiments.cli.main import main

    stopping.leave(main)
