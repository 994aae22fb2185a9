"""Run the sweeps of text, the papers' by default: `python run_multiple.py --help`."""

from __future__ import annotations

from experiments import stopping

if __name__ == "__main__":
    stopping.install()
    # Only now: all that is imported from here on may be interrupted.
    from experiments.cli.sweep import sweep_text

    stopping.leave(sweep_text)
