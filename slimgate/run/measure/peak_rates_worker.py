"""The process that measures the CPU's peak rates. The fastest call counts, because noise only slows a call.

The threads of the libraries' pools keep a core busy for a while after a call. So single-threaded measurements
come first, and ONNX Runtime, whose pool ends with its session, comes before PyTorch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from slimgate.errors import SlimgateError, to_one_line

if TYPE_CHECKING:
    import torch

Call = Callable[[], object]
# Rows and columns of the matrices. The small one is used to estimate the time of the others.
SMALL, SIZES = 256, (1024, 512)
# Larger than the L3 caches of most processors. The bytes count twice: they are read and written.
COPIED_BYTES = 128 * 1024**2
GIGA = 1e9
# Calls of the large product that have to fit in the time: one to warm up and two that count.
_LEAST_CALLS = 3


def serve(pipe: Connection, threads: int, seconds: float) -> None:
    """Sends the fields of PeakRates except `measured`. seconds: the time to spend on each figure."""
    start = time.perf_counter()
    try:
        rates = measure_rates(threads, seconds)
    except (MemoryError, OSError, RuntimeError) as error:
        why = f"{type(error).__name__}: {to_one_line(error)}"
        rates = {"notes": [f"nothing was measured: {why}"], "seconds": time.perf_counter() - start}
    with suppress(OSError):  # the other process has gone
        pipe.send(rates)
        pipe.close()


def measure_rates(threads: int, seconds: float) -> dict[str, Any]:
    """Measures the fields of PeakRates except `measured`. seconds: the time to spend on each figure."""
    import torch

    start, notes = time.perf_counter(), list[str]()
    torch.set_num_threads(1)
    source = torch.ones(COPIED_BYTES // 4)
    target = torch.zeros_like(source)

    def measure_copy() -> float:
        took = time_fastest(lambda: target.copy_(source), until=time.perf_counter() + seconds)
        return 2 * COPIED_BYTES / took / GIGA

    sizes: dict[str, int] = {}

    def measure_with(count: int) -> dict[str, Any]:
        torch.set_num_threads(count)
        return {
            "threads": count,
            "int8_gop_per_s": _measure_int8(count, seconds, notes, sizes),
            "float32_gflop_per_s": _measure_torch(torch.float32, seconds, notes, sizes),
            "bfloat16_gflop_per_s": _measure_torch(torch.bfloat16, seconds, notes, sizes),
            "memory_gb_per_s": measure_copy(),
        }

    one_thread = measure_with(1)
    all_threads = one_thread if threads == 1 else measure_with(threads)
    return {
        "one_thread": one_thread,
        "all_threads": all_threads,
        "int8_by": None if all_threads["int8_gop_per_s"] is None else "onnxruntime",
        "notes": list(dict.fromkeys(notes)),
        "seconds": time.perf_counter() - start,
    }


def time_fastest(call: Call, *, until: float) -> float:
    """Seconds of the fastest call; the first call is not timed, because it allocates memory."""
    call()
    least = float("inf")
    while True:
        before = time.perf_counter()
        call()
        after = time.perf_counter()
        least = min(least, after - before)
        if after >= until:
            return least


def measure_peak(product: Callable[[int], Call], seconds: float, sizes: dict[str, int], name: str) -> float:
    """Operations per second in products of square matrices; a multiply-add counts as two operations.

    product(size): the call that multiplies two matrices (size, size). The rate is measured with the largest
    size of which _LEAST_CALLS calls fit in `seconds`. sizes: name -> the size that was chosen with one
    thread. More threads use the same size: on a busy machine, threads wait for each other after every
    product, so their time for the small product is a bad estimate.
    """
    end = time.perf_counter() + seconds
    if name in sizes:
        return 2 * sizes[name] ** 3 / time_fastest(product(sizes[name]), until=end)
    small = time_fastest(product(SMALL), until=time.perf_counter() + seconds / 10)
    left = end - time.perf_counter()
    fits = [size for size in SIZES if _LEAST_CALLS * small * (size / SMALL) ** 3 <= left]
    sizes[name] = fits[0] if fits else SMALL
    small_rate = 2 * SMALL**3 / small
    if not fits:
        return small_rate
    return max(small_rate, 2 * fits[0] ** 3 / time_fastest(product(fits[0]), until=end))


def _measure_torch(
    kind: torch.dtype, seconds: float, notes: list[str], sizes: dict[str, int]
) -> float | None:
    """The rate of PyTorch's matrix product, in 10⁹ operations a second."""
    import torch

    def product(size: int) -> Call:
        left, right = (torch.rand(size, size).to(kind) for _ in range(2))
        out = torch.empty(size, size, dtype=kind)
        return lambda: torch.mm(left, right, out=out)

    try:
        with torch.inference_mode():
            return measure_peak(product, seconds, sizes, str(kind)) / GIGA
    except RuntimeError as error:
        notes.append(f"{str(kind).removeprefix('torch.')} was not measured: {to_one_line(error)}")
        return None


def _measure_int8(threads: int, seconds: float, notes: list[str], sizes: dict[str, int]) -> float | None:
    """The rate of ONNX Runtime's int8 product of unsigned inputs and constant signed weights.

    PyTorch's int8 product is not used: it has no fast kernel on processors without VNNI.
    """
    try:
        return measure_peak(lambda size: _make_int8_product(size, threads), seconds, sizes, "int8") / GIGA
    except ModuleNotFoundError as error:
        notes.append(f'int8 was not measured: {error.name} is missing, pip install "slimgate[onnx]"')
    except SlimgateError as error:
        notes.append(f"int8 was not measured: {to_one_line(error)}")
    return None


def _make_int8_product(size: int, threads: int) -> Call:
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
