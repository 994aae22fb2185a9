"""The machine of a run: its device, and its description for `env.json`."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import sls
from experiments.errors import UserError, did_you_mean

_PEERS = ("prodigyopt", "schedulefree", "dadaptation", "momo-opt")
_PACKAGES = ("torchvision", "numpy", "transformers", "scikit-learn", *_PEERS)
KNOWN_DEVICES = ("auto", "cpu", "cuda", "mps")


def pick_device(name: str) -> torch.device:
    """The device of a name; `auto` is CUDA if available, else MPS, else the CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        hint = did_you_mean(name, KNOWN_DEVICES)
        raise UserError(f"device: unknown device '{name}'{hint}") from error
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(
            f"device: '{name}' cannot be used on this machine; device=auto takes an available one"
        ) from error
    return device


def describe(device: torch.device) -> dict[str, Any]:
    """Versions, commit and device: no environment variable, no name of a host or a user."""
    return {
        "python": platform.python_version(),
        "sls": sls.__version__,
        "torch": str(torch.__version__),
        **{package: _version(package) for package in _PACKAGES},
        "git": _git_state(Path(__file__).resolve().parents[2]),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or platform.machine(),
        "cuda": torch.version.cuda,
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "threads": torch.get_num_threads(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_state(root: Path) -> dict[str, Any] | None:
    """The commit that is checked out and whether its code differs; None without git.

    What runs and reports write below `results/` is not code: with it, every run after the first of
    a study that is committed would count as changed.
    """
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None
    commit = _git(git, root, "rev-parse", "--verify", "HEAD")
    changes = _git(git, root, "status", "--porcelain", "--", ".", ":(exclude)results")
    return {"commit": commit, "dirty": None if changes is None else changes != ""}


def _git(git: str, root: Path, *arguments: str) -> str | None:
    command = [git, "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() if done.returncode == 0 else None
