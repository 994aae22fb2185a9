"""Train one model on one task with one optimizer: `python main.py --help`."""

from __future__ import annotations

from experiments import stopping

if __name__ == "__main__":
    stopping.install()
    # Imported only now, so that a signal during the import ends in one line too.
    from experiments.cli.main import main

    stopping.leave(main)
