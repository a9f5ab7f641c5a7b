"""A device that PyTorch cannot use is one line, before a model is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from slimgate._system.processor import require_device
from slimgate.errors import SuiteError


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_the_cpu_is_always_there(device: str) -> None:
    """The check does not import torch, which takes seconds."""
    code = (
        f"import sys; from slimgate._system.processor import require_device; require_device({device!r}); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("device", ["cudda", "cuda"])
def test_a_device_that_is_not_here_is_named(device: str) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(SuiteError, match=f"--slimgate-device {device}: PyTorch .* leave it out for the CPU"):
        require_device(device)
