"""Run the sweeps of pictures, the papers' by default: `python run_multiple_img.py --help`."""

from __future__ import annotations

import sys

from experiments.sweep_cli import sweep_images

if __name__ == "__main__":
    sys.exit(sweep_images())
