"""Compiled PyTorch: torch.compile generates kernels for the network.

    runtime = { name = "compiled", mode = "max-autotune", precision = "bfloat16" }

`prepare` calls the network once for each new shape, so that no timed call compiles. `compile_seconds` is the
total time of these calls. Compilers have bugs, so the output of each graph for its first batch is compared
with that of the uncompiled network in float32. A difference above `tolerance` is an error. After MAX_GRAPHS
compilations of one function, PyTorch would silently continue without compiling. Here this is an error too.

In workloads with new_tokens, the first token of an answer is not compiled. The later tokens are, with a
static cache. The answer is compared with that of the uncompiled network. The runtime needs a C++ compiler.

Source: Ansel et al. 2024, "PyTorch 2", ASPLOS.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from slimgate._system.code_reads import stop_watching_variables
from slimgate._system.quiet import silent
from slimgate.errors import BuildError, SlimgateError, to_one_line
from slimgate.plugins.base import Arrays
from slimgate.plugins.models import NEW_TOKENS, Macs
from slimgate.plugins.params import Table
from slimgate.plugins.runtime import Runtime
from slimgate.runtimes import eager
from slimgate.runtimes.eager import EagerPredictor

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import Cache

    from slimgate.models.greedy import BegunAnswer

MAX_GRAPHS = 64
MAX_ERROR_LENGTH = 300


class Params(Table):
    mode: Literal["default", "reduce-overhead", "max-autotune"] = "default"
    """Mode of torch.compile: "reduce-overhead" makes a CUDA graph for each shape, for small batches on a GPU;
    "max-autotune" chooses kernels by their times."""
    dynamic: Literal[True, "auto"] = True
    """true: one program for all batch sizes and lengths; "auto": a program for the first shape alone, which
    is faster if there are few shapes, and a program for all shapes from the second shape on."""
    fullgraph: bool = False
    """true: an error if the network cannot be compiled as one graph; false: such a network runs as several
    graphs, which are slower."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Format of matrix products; "bfloat16" computes products under autocast."""
    tolerance: float = Field(default=0.1, gt=0)
    """Largest allowed difference from the scores of the uncompiled network, relative to the root mean square
    of these scores."""


class CompiledPredictor(EagerPredictor):
    """Wraps a compiled network as a Predictor.

    compile_seconds: the time of the first calls of all shapes. shapes: the number of shapes. graphs: the
    number of compiled graphs. max_difference: the largest relative difference from the uncompiled scores.
    """

    def __init__(self, network: nn.Module, params: Params, device: str) -> None:
        """Raises BuildError without a C++ compiler."""
        super().__init__(network, device, static_cache=True)
        self._params = params
        self._seen: set[tuple[Any, ...]] = set()
        self.compile_seconds, self.max_difference, self.graphs = 0.0, 0.0, 0
        with compile_in_process("runtime compiled", device):
            self._call = self._compile_network(network)
            self._step = self._compile_step(network)

    def _compile_network(self, network: nn.Module) -> Any:
        import torch

        def logits(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
            scores: torch.Tensor = network(**inputs).logits
            return scores

        return torch.compile(  # type: ignore[call-overload]  # its stubs lag behind its options
            logits,
            mode=self._params.mode,
            dynamic=True if self._params.dynamic is True else None,
            fullgraph=self._params.fullgraph,
            recompile_limit=MAX_GRAPHS,
            # without this, models of one class would share the limit, because they share their code
            isolate_recompiles=True,
        )

    def _compile_step(self, network: nn.Module) -> Any:
        """Compiles the call for a later token, with a static cache: a program for each shape of the cache."""
        import torch

        from slimgate.models.greedy import find_next_token

        def step(ids: torch.Tensor, cache: Cache) -> torch.Tensor:
            return find_next_token(network, ids, cache)

        return torch.compile(  # type: ignore[call-overload]
            step,
            mode=self._params.mode,
            dynamic=False,
            fullgraph=self._params.fullgraph,
            recompile_limit=MAX_GRAPHS,
            isolate_recompiles=True,
        )

    @property
    def shapes(self) -> int:
        """The number of input shapes that were prepared."""
        return len(self._seen)

    def prepare(self, batch: Arrays) -> dict[str, torch.Tensor]:
        """Converts arrays to tensors on the device. Calls the network once if the shape is new."""
        import torch

        from slimgate.models.write_answers import is_encoder_decoder

        if NEW_TOKENS in batch and is_encoder_decoder(self.network):
            raise BuildError(
                "runtime compiled compiles one forward pass and cannot generate text with an "
                "encoder-decoder; use eager"
            )
        prepared = {name: torch.from_numpy(values).to(self._device) for name, values in batch.items()}
        if NEW_TOKENS in prepared:
            self._compile_answer(prepared)
            return prepared
        shape = tuple((name, tuple(tensor.shape)) for name, tensor in prepared.items())
        if shape not in self._seen:
            with compile_in_process("runtime compiled", str(self._device)):
                self._compile_shape(prepared)
            self._seen.add(shape)
        return prepared

    def _compile_shape(self, prepared: dict[str, torch.Tensor]) -> None:
        """Calls the network for the first time with a shape. Raises BuildError for wrong scores."""
        from torch._dynamo import config
        from torch._dynamo.utils import counters

        graphs_before, start = counters["stats"]["unique_graphs"], time.perf_counter()
        with config.patch(fail_on_recompile_limit_hit=True):
            logits = self.forward(prepared)
        self.compile_seconds += time.perf_counter() - start
        if new_graphs := counters["stats"]["unique_graphs"] - graphs_before:
            self.graphs += new_graphs
            self._check_difference(self.fetch(logits), self.fetch(super().forward(prepared)))

    def _compile_answer(self, prepared: dict[str, torch.Tensor]) -> None:
        """Writes the first answer of a shape. Compares it with the uncompiled network and a growing cache."""
        from torch._dynamo import config
        from torch._dynamo.utils import counters

        from slimgate.models.greedy import check_answers

        shape = (*prepared["input_ids"].shape, int(prepared[NEW_TOKENS]))
        if shape in self._checked:
            return
        graphs_before, start = counters["stats"]["unique_graphs"], time.perf_counter()
        with (
            compile_in_process("runtime compiled", str(self._device)),
            config.patch(fail_on_recompile_limit_hit=True),
        ):
            written = self.decode(self.prefill(prepared))
        self.compile_seconds += time.perf_counter() - start
        self.graphs += counters["stats"]["unique_graphs"] - graphs_before
        user, tolerance = "runtime compiled", self._params.tolerance
        check_answers(self.network, prepared["input_ids"], written, user, tolerance=tolerance)
        self._checked.add(shape)

    def prefill(self, prepared: dict[str, torch.Tensor]) -> BegunAnswer:
        """Begins an answer. Its first token is not compiled, because prompts have many lengths."""
        with self._autocast():
            begun: BegunAnswer = super().prefill(prepared)
        return begun

    def decode(self, state: BegunAnswer) -> torch.Tensor:
        """(rows, new tokens) ids. All but the first come from the compiled step."""
        from slimgate.models.greedy import finish_answer

        with self._autocast():
            return self._finish(finish_answer(self.network, state, self._step))

    def _autocast(self) -> Any:
        """A context for matrix products in the format of `precision`."""
        import torch

        if self._params.precision == "float32":
            return nullcontext()
        return torch.autocast(self._device.type, dtype=torch.bfloat16)

    def _check_difference(self, compiled: npt.NDArray[np.float32], eager: npt.NDArray[np.float32]) -> None:
        difference = float(np.abs(compiled - eager).max())
        size = float(np.sqrt(np.square(eager, dtype=np.float64).mean()))
        relative = difference / size if size > 0 else (0.0 if difference == 0 else float("inf"))
        if not relative <= self._params.tolerance:  # NaN is no agreement either
            raise BuildError(
                f"runtime compiled disagrees with the uncompiled network: scores are {difference:.4g} "
                f"apart, {relative:.3g} of their size ({size:.3g}), expected at most "
                f'{self._params.tolerance:g}; use runtime "eager", or set a larger `tolerance` if you '
                "accept this"
            )
        self.max_difference = max(self.max_difference, relative)

    def forward(self, prepared: dict[str, torch.Tensor]) -> torch.Tensor:
        """The logits of one batch. On a GPU, they are finished when it returns."""
        import torch

        if NEW_TOKENS in prepared:
            return self.decode(self.prefill(prepared))
        with torch.inference_mode(), self._autocast():
            logits: torch.Tensor = self._call(prepared)
        return self._finish(logits)

    def close(self) -> None:
        """Drops the network and its compiled graphs."""
        super().close()
        self._call = self._step = None
        self._seen.clear()


class Compiled(Runtime[Params]):
    kinds = frozenset({"torch", "torch_quantized"})
    obeys_onednn = True
    counts_macs = True
    times_writing = True

    def load(self, folder: Path, params: Params, *, device: str, threads: int) -> CompiledPredictor:
        """The artifact's network, compiled for `threads` threads."""
        import torch

        from slimgate.models.torch_model import load_torch_model

        torch.set_num_threads(threads)
        return CompiledPredictor(load_torch_model(folder, device=device).network, params, device)

    def count_macs(self, folder: Path, batch: Arrays, *, device: str) -> Macs:
        """The multiply-adds of the uncompiled network, because the compiled one computes the same."""
        return eager.runtime.count_macs(folder, batch, device=device)


runtime = Compiled()


@contextmanager
def compile_in_process(user: str, device: str) -> Iterator[None]:
    """Inside the context, compilation runs in this process and without output.

    user: the name of the runtime or step in errors. Raises BuildError in one line if there is no C++
    compiler, and for any error of the compiler.
    """
    stop_watching_variables()
    with silent(logging.WARNING):
        from torch._inductor import config

        check_compiler(user, device)
        with config.patch(compile_threads=1):
            try:
                yield
            except SlimgateError:
                raise
            except Exception as error:  # a graph may fail in any of the compiler's layers
                raise BuildError(f"{user}: {type(error).__name__}: {shorten_error(error)}") from error


def check_compiler(user: str, device: str) -> None:
    """Raises BuildError without a C++ compiler. On a GPU too, it compiles the launchers of kernels."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise BuildError(
            f"{user} compiles a model for {device} with a C++ compiler, but none was found: install g++ or "
            "clang++, or name one in CXX"
        ) from error


def shorten_error(error: BaseException) -> str:
    """The first part of an error, because compilers write pages."""
    message = to_one_line(error)
    return message if len(message) <= MAX_ERROR_LENGTH else f"{message[:MAX_ERROR_LENGTH]}…"
