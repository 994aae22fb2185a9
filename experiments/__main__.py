"""Commands besides a single run: `python -m experiments --help`."""

from __future__ import annotations

from experiments import stopping

if __name__ == "__main__":
    stopping.install()
    # Imported only now, so that a signal during the import ends in one line too.
    from experiments.cli.commands import command

    stopping.leave(command)
