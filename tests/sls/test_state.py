"""State lives in `state` and `param_groups` and survives a new process bit for bit (7)."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from sls import ALSALS, SLS, LineSearch, SaLSA
from tests.sls.optimizers import EVERY

IDS = [name for name, _ in EVERY]
MAKERS = [make for _, make in EVERY]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 1))


def data(k: int) -> torch.Tensor:
    return torch.randn(16, 4, generator=torch.Generator().manual_seed(k))


def train(module: nn.Module, optimizer: LineSearch, steps: range) -> list[float]:
    losses = []
    for k in steps:
        x = data(k)
        loss = optimizer.step(lambda x=x: (module(x).squeeze() - x.sin().sum(1)).square().mean())
        losses.append(float(loss))
    return losses


CASES = [
    pytest.param("ALSALS", 15, id="ALSALS-15"),
    pytest.param("ALSALS-ratio", 15, id="ALSALS-ratio-15"),
    pytest.param("SaLSA", 15, id="SaLSA-15"),
    pytest.param("SLS", 15, id="SLS-15"),
    pytest.param("PeakSLS-averaged", 5, id="PeakSLS rising"),
    pytest.param("PeakSLS-averaged", 50, id="PeakSLS settling"),
    pytest.param("PeakSLS-averaged", 90, id="PeakSLS held"),
]
RESUME = """
import sys, torch
from tests.sls.optimizers import EVERY
from tests.sls.test_state import network, train
resumed = []
for name, steps, state in torch.load(sys.argv[1], weights_only=True):
    module = network()
    optimizer = dict(EVERY)[name](module.parameters())
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    losses = train(module, optimizer, range(steps, steps + 25))
    resumed.append({"module": module.state_dict(), "losses": losses,
                    "optimizer": optimizer.state_dict()})
torch.save(resumed, sys.argv[2])
"""


@pytest.fixture(scope="module")
def continued(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], tuple]:
    """For each case, module, optimizer and losses of this process and of one that resumes."""
    folder = tmp_path_factory.mktemp("states")
    saved, result = folder / "saved.pt", folder / "result.pt"
    states, here = [], []
    for name, steps in (case.values for case in CASES):
        module = network()
        optimizer = dict(EVERY)[name](module.parameters())
        train(module, optimizer, range(steps))
        state = {
            "module": module.state_dict(),
            "optimizer": optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }
        states.append(copy.deepcopy((name, steps, state)))
        here.append((module, optimizer, train(module, optimizer, range(steps, steps + 25))))
    torch.save(states, saved)
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", RESUME, str(saved), str(result)]
    subprocess.run(command, cwd=root, check=True)
    resumed = torch.load(result, weights_only=True)
    return {case.values: ends for case, *ends in zip(CASES, here, resumed, strict=True)}


@pytest.mark.parametrize(("name", "steps"), CASES)
def test_a_new_process_continues_bit_for_bit(
    continued: dict[tuple[str, int], tuple], name: str, steps: int
) -> None:
    (module, optimizer, losses), resumed = continued[name, steps]
    assert resumed["losses"] == losses
    for key, value in module.state_dict().items():
        assert torch.equal(resumed["module"][key], value), key
    assert resumed["optimizer"]["param_groups"] == optimizer.state_dict()["param_groups"]


@pytest.mark.parametrize("make", MAKERS, ids=IDS)
def test_a_saved_state_does_not_move_with_the_optimizer(make: object) -> None:
    module = network()
    optimizer = make(module.parameters())
    train(module, optimizer, range(3))
    saved = optimizer.state_dict()["param_groups"]
    before = copy.deepcopy(saved)
    train(module, optimizer, range(3, 6))
    assert saved == before


@pytest.mark.parametrize("make", MAKERS, ids=IDS)
def test_lr_is_the_accepted_step_in_every_group(make: object) -> None:
    module = network()
    optimizer = make([{"params": module[0].parameters()}, {"params": module[3].parameters()}])
    train(module, optimizer, range(12))
    steps = [group["lr"] for group in optimizer.param_groups]
    assert steps == [optimizer.last_step.step_size] * 2


@pytest.mark.filterwarnings("ignore:ALSALS. lr of parameter group 0")
def test_writing_to_lr_changes_nothing() -> None:
    one, other = network(), network()
    plain, meddled = ALSALS(one.parameters()), ALSALS(other.parameters())
    losses = []
    for module, optimizer in ((one, plain), (other, meddled)):
        torch.manual_seed(1)
        losses.append([])
        for k in range(5):
            losses[-1] += train(module, optimizer, range(k, k + 1))
            if optimizer is meddled:
                meddled.param_groups[0]["lr"] = 77.0
    assert losses[0] == losses[1]


def test_a_learning_rate_scheduler_can_read_along() -> None:
    module = network()
    optimizer = ALSALS(module.parameters())
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1.0)
    train(module, optimizer, range(2))
    scheduler.step()
    assert scheduler.get_last_lr() == [optimizer.param_groups[0]["initial_lr"]]


def test_state_of_another_optimizer_is_refused_by_name() -> None:
    module = network()
    adam = torch.optim.Adam(module.parameters())
    with pytest.raises(ValueError, match=r"not ALSALS's: it lacks .*beta3"):
        ALSALS(module.parameters()).load_state_dict(adam.state_dict())
    with pytest.raises(ValueError, match="is SLS's, not SaLSA's"):
        SaLSA(module.parameters()).load_state_dict(SLS(module.parameters()).state_dict())


def test_a_state_that_knows_no_smoothing_is_the_papers() -> None:
    module = network()
    optimizer = ALSALS(module.parameters())
    train(module, optimizer, range(3))
    saved = optimizer.state_dict()
    for group in saved["param_groups"]:
        del group["smoothing"]
    again = ALSALS(module.parameters(), smoothing="ratio")
    with pytest.warns(UserWarning, match="smoothing: 'ratio' → 'paper'"):
        again.load_state_dict(saved)
    assert again.param_groups[0]["smoothing"] == "paper"
    assert again.search_state == optimizer.search_state


def test_a_state_saved_before_the_first_step_continues() -> None:
    module = network()
    saved = ALSALS(module.parameters()).state_dict()
    optimizer = ALSALS(module.parameters())
    optimizer.load_state_dict(saved)
    assert all(map(torch.isfinite, map(torch.tensor, train(module, optimizer, range(3)))))


def test_pickled_and_copied_optimizers_go_on() -> None:
    module = network()
    optimizer = ALSALS(module.parameters())
    train(module, optimizer, range(3))
    again, optimizer_again = pickle.loads(pickle.dumps((module, optimizer)))
    torch.manual_seed(5)
    expected = train(module, optimizer, range(3, 6))
    torch.manual_seed(5)
    assert train(again, optimizer_again, range(3, 6)) == expected
