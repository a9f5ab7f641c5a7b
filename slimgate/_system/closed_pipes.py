"""Lets a command continue when the reader of its output has ended, as in `slimgate schema | head -1`.

The exit code is then still that of the verdict, and reports are still written. Output that cannot be written
for another reason, such as a full disk, is dropped too, and the caller gets the reason.
"""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Output(io.FileIO):
    """A file to which writing always succeeds, even if it is a pipe without a reader, or a full one.

    problems: a list for the reason of any other failure; only the last reason is kept.
    """

    def __init__(self, descriptor: int, problems: list[str]) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._problems = problems

    def write(self, data: ReadableBuffer) -> int:
        try:
            while (written := super().write(data)) is None:  # a full pipe that does not block
                select.select([], [self], [])
            return written
        except BrokenPipeError:
            return memoryview(data).nbytes
        except OSError as error:
            self._problems[:] = [error.strerror or str(error)]
            return memoryview(data).nbytes


@contextmanager
def ignore_closed_pipes() -> Iterator[list[str]]:
    """Drops output to a closed pipe, or to a stream that was closed before the process began.

    Afterwards the list says why standard output could not be written; it is empty if it was written.
    """
    problems: list[str] = []
    with ExitStack() as stack:
        for redirect, stream, is_standard in (
            (redirect_stdout, sys.stdout, sys.stdout is sys.__stdout__),
            (redirect_stderr, sys.stderr, sys.stderr is sys.__stderr__),
        ):
            if stream is None:
                stack.enter_context(redirect(stack.enter_context(open(os.devnull, "w", encoding="utf-8"))))
            elif is_standard:  # another stream belongs to other code, such as pytest
                stream.flush()
                output = _Output(stream.fileno(), problems if stream is sys.stdout else [])
                reopened = io.TextIOWrapper(
                    io.BufferedWriter(output),
                    encoding=stream.encoding,
                    errors=stream.errors,
                    line_buffering=stream.isatty() or stream is sys.stderr,
                )
                stack.enter_context(redirect(reopened))
                stack.callback(reopened.flush)
        yield problems
