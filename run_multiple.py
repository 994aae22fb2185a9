"""Run a sweep of text tasks, by default the papers': `python run_multiple.py --help`."""

from __future__ import annotations

from experiments import stopping

if __name__ == "__main__":
    stopping.install()
    # Imported only now, so that a signal during the import ends in one line too.
    from experiments.cli.sweep import sweep_text

    stopping.leave(sweep_text)
