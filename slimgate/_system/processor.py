"""The device of a run, and the processor, as far as they affect results.

    describe_processor("cpu", threads=2)    "AMD EPYC (family 25, model 17) (avx2 avx512f), 2 threads"
    describe_processor("cuda", threads=2)   "NVIDIA H200 (compute capability 9.0), 2 threads"

Float32 answers of two processors differ by rounding. Integer and 16-bit kernels differ by more: without VNNI
the int8 products of ONNX Runtime and oneDNN add pairs in 16 bits, which saturate, and bfloat16 is computed in
float32 where the processor has none. Such answers are stored for the processor that computed them.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Collection
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from slimgate.errors import SuiteError, to_one_line

CPUINFO = Path("/proc/cpuinfo")
# The instructions by which libraries choose the kernels of matrix products.
INSTRUCTIONS = frozenset(
    {"avx", "avx2", "fma", "f16c", "avx_vnni", "avx_vnni_int8", "avx_ne_convert", "avx_ifma"}
    | {"avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16"}
    | {"amx_tile", "amx_int8", "amx_bf16", "amx_fp16"}
    | {"asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve", "sve2", "svei8mm", "svebf16", "sme"}
)
# Variables of the environment that keep libraries from using some of them.
LIMITS = (
    "ATEN_CPU_CAPABILITY",
    "CT2_FORCE_CPU_ISA",
    "CT2_USE_MKL",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
)
_NO_GPU = "a GPU that is not here"


def describe_processor(device: str, *, threads: int) -> str:
    """The model, its instructions without those that the environment forbids, and the threads."""
    described = describe_gpu(device) or _describe_cpu()
    limits = [f"{name}={os.environ[name]}" for name in LIMITS if os.environ.get(name)]
    return ", ".join([described, *limits, f"{threads} {'thread' if threads == 1 else 'threads'}"])


def describe_gpu(device: str) -> str | None:
    """The GPU of a device such as cuda:1: `NVIDIA H200 (compute capability 9.0)`; None for the CPU."""
    kind, _, number = device.partition(":")
    return _describe_gpu(int(number or 0)) if kind == "cuda" else None


def read_cpu_name(cpuinfo: Path = CPUINFO) -> str:
    """The processor's name in the system's information: `AMD EPYC (family 25, model 17)`.

    Virtual machines often name a series of processors alone. Its generations have the same instructions, but
    compute up to twice as many products a second. So a name without a number gets the family and the model.
    """
    name = _find_entry(cpuinfo, "model name") or platform.processor() or platform.machine()
    if any(character.isdigit() for character in name):
        return name
    family, model = _find_entry(cpuinfo, "cpu family"), _find_entry(cpuinfo, "model")
    return name if family is None or model is None else f"{name} (family {family}, model {model})"


def list_cpu_instructions(cpuinfo: Path = CPUINFO) -> list[str]:
    """Those of INSTRUCTIONS that the CPU has, sorted; empty if the system does not say."""
    flags = _find_entry(cpuinfo, "flags") or _find_entry(cpuinfo, "Features") or ""
    return sorted(INSTRUCTIONS & set(flags.split()))


def has_saturating_sums(instructions: Collection[str]) -> bool:
    """Whether int8 products of ONNX Runtime and oneDNN add pairs in 16 bits: x86 without VNNI.

    Source: onnxruntime#5849.
    """
    return "avx2" in instructions and not any("vnni" in flag or flag == "amx_int8" for flag in instructions)


@cache
def _describe_cpu() -> str:
    return f"{read_cpu_name()} ({' '.join(list_cpu_instructions()) or platform.machine()})"


@cache
def _describe_gpu(number: int) -> str:
    # A run whose models answer on other machines needs neither torch nor a GPU.
    if find_spec("torch") is None:
        return _NO_GPU
    import torch

    if not torch.cuda.is_available():
        return _NO_GPU
    major, minor = torch.cuda.get_device_capability(number)
    return f"{torch.cuda.get_device_name(number)} (compute capability {major}.{minor})"


def _find_entry(cpuinfo: Path, key: str) -> str | None:
    """The value of the first line with that key."""
    if not cpuinfo.exists():
        return None
    for line in cpuinfo.read_text("utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None


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
