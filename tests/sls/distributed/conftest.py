"""What the ranks saw, launched once for each test module, which names its worker: `WORKER`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sls.distributed.launch import launch


@pytest.fixture(scope="module")
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What both ranks saw in every case."""
    worker = request.module.WORKER
    return launch(worker, tmp_path_factory.mktemp(worker), "quick")


@pytest.fixture(scope="module")
def slow_ranks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[Any]:
    """What both ranks saw in every slow case."""
    worker = request.module.WORKER
    return launch(worker, tmp_path_factory.mktemp(worker), "slow")
