"""A device that PyTorch cannot use is one line, before a model is loaded."""

from __future__ import annotations

import pytest
import torch

from slimgate._system.processor import require_device
from slimgate.errors import SuiteError


def test_the_cpu_is_always_there() -> None:
    require_device("cpu")
    require_device("cpu:0")


@pytest.mark.parametrize("device", ["cudda", "cuda"])
def test_a_device_that_is_not_here_is_named(device: str) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(SuiteError, match=f"--slimgate-device {device}: PyTorch .* leave it out for the CPU"):
        require_device(device)
