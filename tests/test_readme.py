"""The README's loop works as it stands, copied out of it."""

from __future__ import annotations

import re
from pathlib import Path

import torch

README = Path(__file__).resolve().parent.parent / "README.md"


def test_the_loop_of_the_readme_trains_what_it_shows() -> None:
    (code, *_) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    torch.manual_seed(0)
    variables: dict[str, object] = {}
    exec(code, variables)
    loss = variables["loss"]
    assert isinstance(loss, torch.Tensor)
    assert loss < 0.1
