"""Run the sweeps of pictures, the papers' by default: `python run_multiple_img.py --help`."""

from __future__ import annotations

from experiments import stopping

if __name__ == "__main__":
    stopping.install()
    # Only now: all that is imported from here on may be interrupted.
    from experiments.cli.sweep import sweep_images

    stopping.leave(sweep_images)
