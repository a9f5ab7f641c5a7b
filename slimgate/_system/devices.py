"""The device of a run, such as cuda:1."""

from __future__ import annotations

from importlib.util import find_spec

from slimgate.errors import SuiteError, to_one_line


def require_device(device: str) -> None:
    """Raises SuiteError unless PyTorch can compute on the device here."""
    # without PyTorch, each model that needs it reports the missing package
    if device.partition(":")[0] == "cpu" or find_spec("torch") is None:
        return
    import torch

    try:
        torch.empty(1, device=device)
    except (AssertionError, RuntimeError) as error:
        raise SuiteError(
            f"--slimgate-device {device}: PyTorch {torch.__version__} cannot compute there "
            f"({to_one_line(error)}); leave it out for the CPU"
        ) from error
