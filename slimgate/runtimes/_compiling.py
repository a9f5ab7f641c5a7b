"""What PyTorch's compiler needs and says: asked for before it runs, and kept from the terminal while it does.

with compiler("cpu"):
    network(**inputs)

The compiler's own processes are left out: they would stand beside a model that is being timed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from slimgate._system.silence import silent
from slimgate.errors import BuildError, SlimgateError

LONGEST = 300


@contextmanager
def compiler(what: str, device: str) -> Iterator[None]:
    """Inside, what is compiled is compiled in this process and silently.

    what: who compiles, as errors call it. Raises BuildError in one line where there is no C++ compiler, and
    for whatever the compiler raises.
    """
    with silent(logging.WARNING):
        from torch._inductor import config

        check_compiler(what, device)
        with config.patch(compile_threads=1):
            try:
                yield
            except SlimgateError:
                raise
            except Exception as error:  # a graph may fail in any of the compiler's layers
                raise BuildError(f"{what}: {type(error).__name__}: {in_one_line(error)}") from error


def check_compiler(what: str, device: str) -> None:
    """Raises BuildError without a C++ compiler, which also makes the launchers of a GPU's kernels."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise BuildError(
            f"{what} compiles a model for {device} by a C++ compiler, and there is none: "
            "install g++ or clang++, or name one in CXX"
        ) from error


def in_one_line(error: BaseException) -> str:
    """What an error says first; compilers go on for pages."""
    said = " ".join(str(error).split()) or "no message"
    return said if len(said) <= LONGEST else f"{said[:LONGEST]}…"
