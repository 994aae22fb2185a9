"""What else there is to do than one run: `python -m experiments --help`."""

from __future__ import annotations

from experiments import stopping

if __name__ == "__main__":
    stopping.install()
    # Only now: all that is imported from here on may be interrupted.
    from experiments.cli.commands import command

    stopping.leave(command)
