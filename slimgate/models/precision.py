"""In which floating-point format a training step computes."""

from __future__ import annotations


def resolve_precision(wanted: str, device: str) -> str:
    """bfloat16 for "auto" where the device computes it natively, else float32; another wish as it is."""
    if wanted != "auto":
        return wanted
    import torch

    native = torch.cuda.is_bf16_supported() if device.startswith("cuda") else _cpu_has_bf16()
    return "bfloat16" if native else "float32"


def _cpu_has_bf16() -> bool:
    from torch import cpu

    return bool(cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported())
