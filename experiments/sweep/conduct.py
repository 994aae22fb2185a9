"""Run a sweep's stages. No torch."""

from __future__ import annotations

from experiments.errors import UserError
from experiments.sweep.plan import Sweep


def conduct(sweep: Sweep, *, retry_failed: bool) -> int:
    """Refuse to start: there is no launcher yet, only `--dry-run`."""
    again = " --retry-failed" if retry_failed else ""
    raise UserError(f"{sweep.name}: runs cannot be started yet; list them by --dry-run{again}")
