"""What goes into many keys: versions of packages, settings of arithmetic, the processor."""

from __future__ import annotations

import os
import platform
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import slimgate
from slimgate._system.digests import digest_own_code, read_versions
from slimgate._system.processor import describe_processor
from slimgate.plugins.base import Json
from slimgate.suite.suite import Suite

if TYPE_CHECKING:
    from slimgate.run.rows import PreparedRows

# Libraries that compute the answers of every model.
PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "safetensors")
# Environment variables that make libraries compute float32 in fewer bits. Variables that only choose among
# kernels for the processor are in `describe_processor`.
ARITHMETIC = (
    "DNNL_DEFAULT_FPMATH_MODE",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)


def list_common_inputs(
    rows: PreparedRows, reads: tuple[str, ...], packages: tuple[str, ...], device: str
) -> Json:
    """The inputs of whatever is computed from rows. reads: splits; packages: in addition to PACKAGES."""
    return {"data": rows.list_digests(reads), **describe_platform(device, packages)}


def describe_platform(device: str, packages: tuple[str, ...] = ()) -> Json:
    """What computes: the device, versions of PACKAGES and of these packages, settings of arithmetic."""
    return {
        "device": device.split(":")[0],
        "versions": dict(read_versions((*PACKAGES, *packages))),
        "arithmetic": describe_arithmetic(),
    }


def describe_software() -> dict[str, str | None]:
    """The versions that must be equal on all machines of a run, so that their keys are equal.

    - slimgate's code, Python, the distributions that compute models
    """
    return {
        **read_versions(PACKAGES),
        "python": platform.python_version(),
        "slimgate": f"{slimgate.__version__} ({digest_own_code()[:8]})",
    }


def describe_arithmetic() -> Json:
    """Settings that compute float32 in fewer bits: environment variables, and torch's own setting."""
    precision = _read_matmul_precision()
    return {
        **{name: os.environ[name] for name in ARITHMETIC if os.environ.get(name)},
        **({} if precision == "highest" else {"float32_matmul_precision": precision}),
    }


def describe_suite_processor(suite: Suite, device: str) -> str:
    """The processor and the number of threads, for keys of results that depend on them."""
    return describe_processor(device, threads=suite.threads)


@cache
def _read_matmul_precision() -> str:
    """torch's setting at the start of the process: torchao's steps change it as a side effect."""
    torch: Any = sys.modules.get("torch")
    return "highest" if torch is None else str(torch.get_float32_matmul_precision())
