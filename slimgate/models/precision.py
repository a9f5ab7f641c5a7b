"""The floating-point format in which a step computes: in training, and when a network only answers rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

# The number of rows that are first answered in both formats, and the limit of the mean difference of the
# answers, in standard deviations over the rows.
PROBED, AGREE_WITHIN = 16, 0.05


def choose_answer_precision(
    setting: str,
    network: nn.Module,
    answer: Callable[[Sequence[int]], torch.Tensor],
    order: Sequence[int],
    device: str,
) -> str:
    """The format in which a network that only answers rows computes.

    "auto": bfloat16 if it is native, the weights are float32, and the answers to a probe differ from
    those of float32 by less than AGREE_WITHIN; else "float32", which does not change the network.
    Any other setting is returned unchanged.

    answer: the network's answers on the rows at some positions, a tensor. order: all positions by length,
    from which the probe takes rows of all lengths.
    """
    import torch

    precision = resolve_precision(setting, device)
    if setting != "auto" or precision == "float32":
        return precision
    if {values.dtype for values in network.state_dict().values()} != {torch.float32}:
        return "float32"
    probe = order[:: -(-len(order) // PROBED)]
    exact = answer(probe)
    with in_precision(precision, device):
        error = (answer(probe) - exact).abs().mean()
    spread = (exact - exact.mean(0)).square().mean().sqrt()
    # False for an error that is not a number.
    return precision if float(error) < AGREE_WITHIN * float(spread) else "float32"


def in_precision(precision: str, device: str) -> Any:
    """A context in which products are computed in that format (PyTorch's autocast)."""
    import torch

    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bfloat16")


def resolve_precision(setting: str, device: str) -> str:
    """bfloat16 for "auto" if the device computes it natively, else float32; other settings unchanged."""
    if setting != "auto":
        return setting
    import torch

    native = torch.cuda.is_bf16_supported() if device.startswith("cuda") else _has_cpu_bf16()
    return "bfloat16" if native else "float32"


def _has_cpu_bf16() -> bool:
    from torch import cpu

    return bool(cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported())
