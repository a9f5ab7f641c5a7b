"""The process that measures what the CPU gives. A figure is that of the fastest call: others only take away.

The libraries have thread pools of their own, which wait busily after a call. So all that takes one thread
comes first, and ONNX Runtime, whose pool ends with its session, before PyTorch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from slimgate.errors import SlimgateError

Call = Callable[[], object]
# Rows and columns of the matrices. The first tells how long the others would take.
SMALL, SIZES = 256, (1024, 512)
# Larger than the third-level caches of most processors, twice: what is read and what is written.
COPIED_BYTES = 128 * 1024**2
GIGA = 1e9
# Calls of the large product that have to fit in the time: one that warms it up and two that count.
_LEAST_CALLS = 3


def serve(pipe: Connection, threads: int, seconds: float) -> None:
    """Sends the fields of PeakRates, but the time of day. seconds: of each figure."""
    start = time.perf_counter()
    try:
        found = measure(threads, seconds)
    except (MemoryError, OSError, RuntimeError) as error:
        why = f"{type(error).__name__}: {_in_a_line(error)}"
        found = {"notes": [f"nothing was measured: {why}"], "seconds": time.perf_counter() - start}
    with suppress(OSError):  # the other process has gone
        pipe.send(found)
        pipe.close()


def measure(threads: int, seconds: float) -> dict[str, Any]:
    """The fields of PeakRates, but the time of day."""
    import torch

    start, notes = time.perf_counter(), list[str]()
    torch.set_num_threads(1)
    source = torch.ones(COPIED_BYTES // 4)
    target = torch.zeros_like(source)

    def copy_rate() -> float:
        took = fastest(lambda: target.copy_(source), until=time.perf_counter() + seconds)
        return 2 * COPIED_BYTES / took / GIGA

    sizes: dict[str, int] = {}

    def rates(count: int) -> dict[str, Any]:
        torch.set_num_threads(count)
        return {
            "threads": count,
            "int8_gop_per_s": _int8_rate(count, seconds, notes, sizes),
            "float32_gflop_per_s": _torch_rate(torch.float32, seconds, notes, sizes),
            "bfloat16_gflop_per_s": _torch_rate(torch.bfloat16, seconds, notes, sizes),
            "memory_gb_per_s": copy_rate(),
        }

    one = rates(1)
    every = one if threads == 1 else rates(threads)
    return {
        "one_thread": one,
        "all_threads": every,
        "int8_by": None if every["int8_gop_per_s"] is None else "onnxruntime",
        "notes": list(dict.fromkeys(notes)),
        "seconds": time.perf_counter() - start,
    }


def fastest(call: Call, *, until: float) -> float:
    """Seconds of the fastest call; one comes first untimed, because it makes what the others use."""
    call()
    least = float("inf")
    while True:
        before = time.perf_counter()
        call()
        after = time.perf_counter()
        least = min(least, after - before)
        if after >= until:
            return least


def peak(product: Callable[[int], Call], seconds: float, sizes: dict[str, int], name: str) -> float:
    """Operations a second of square matrices, two for each multiply-add.

    product(size): the call that multiplies two matrices (size, size). Measured on the largest size of which
    some calls fit in the time. sizes: by name those chosen with one thread, which more threads take again: on
    a busy machine they wait for each other after every small product, and a large one would seem too long.
    """
    end = time.perf_counter() + seconds
    if name in sizes:
        return 2 * sizes[name] ** 3 / fastest(product(sizes[name]), until=end)
    small = fastest(product(SMALL), until=time.perf_counter() + seconds / 10)
    left = end - time.perf_counter()
    fits = [size for size in SIZES if _LEAST_CALLS * small * (size / SMALL) ** 3 <= left]
    sizes[name] = fits[0] if fits else SMALL
    found = 2 * SMALL**3 / small
    return max(found, 2 * fits[0] ** 3 / fastest(product(fits[0]), until=end)) if fits else found


def _torch_rate(kind: Any, seconds: float, notes: list[str], sizes: dict[str, int]) -> float | None:
    """Of PyTorch's own product, in 10⁹ operations a second."""
    import torch

    def product(size: int) -> Call:
        left, right = (torch.rand(size, size).to(kind) for _ in range(2))
        out = torch.empty(size, size, dtype=kind)
        return lambda: torch.mm(left, right, out=out)

    try:
        with torch.inference_mode():
            return peak(product, seconds, sizes, str(kind)) / GIGA
    except RuntimeError as error:
        notes.append(f"{str(kind).removeprefix('torch.')} was not measured: {_in_a_line(error)}")
        return None


def _int8_rate(threads: int, seconds: float, notes: list[str], sizes: dict[str, int]) -> float | None:
    """Of ONNX Runtime's, which multiplies unsigned inputs by signed weights that it knows beforehand.

    Not of PyTorch, whose int8 product has no fast kernel on processors without VNNI.
    """
    try:
        return peak(lambda size: _int8_product(size, threads), seconds, sizes, "int8") / GIGA
    except ModuleNotFoundError as error:
        notes.append(f'int8 was not measured: {error.name} is missing, pip install "slimgate[onnx]"')
    except SlimgateError as error:
        notes.append(f"int8 was not measured: {_in_a_line(error)}")
    return None


def _int8_product(size: int, threads: int) -> Call:
    """Raises MissingExtra, or ModuleNotFoundError, without the packages of the extra `onnx`."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    from slimgate.runtimes.onnxruntime import Params, open_session

    generator = np.random.default_rng(0)
    weights = generator.integers(-127, 128, (size, size), dtype=np.int8)
    node = helper.make_node("MatMulInteger", ["left", "weights"], ["product"])
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("left", TensorProto.UINT8, [size, size])],
        [helper.make_tensor_value_info("product", TensorProto.INT32, [size, size])],
        [numpy_helper.from_array(weights, "weights")],
    )
    opset = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    session = open_session(model.SerializeToString(), Params(), device="cpu", threads=threads)
    binding = session.io_binding()
    binding.bind_cpu_input("left", generator.integers(0, 256, (size, size), dtype=np.uint8))
    binding.bind_output("product", "cpu")
    return lambda: session.run_with_iobinding(binding)


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())
