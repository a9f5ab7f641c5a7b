"""Silences libraries that log, warn and print while they convert a model: errors come as exceptions.

It also hides torchao's messages at its import: transformers imports it if it is installed.

`transformers.modeling_utils` loads all quantizers, and that of torchao imports the package. It then logs
which of its libraries are for another Python or a GPU, in runs that use none of it. A missing kernel is still
an error when it is called, and all other messages of torchao are shown.
"""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout

# For each logger, a part of such a line.
NOTES = {
    "torchao": ("Failed to load ", ".so: "),
    "torch.utils._pytree": ("is an Enum subclass and is now natively supported",),
    # what torch.compile does, for TORCH_TRACE; pytest would show it below a test that fails
    "torch.__trace": (),
}


@contextmanager
def silent(level: int = logging.ERROR) -> Iterator[None]:
    """Inside, no output or warning reaches the terminal, nor log lines up to the level."""
    before = logging.root.manager.disable
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(io.StringIO()))
        stack.enter_context(redirect_stderr(io.StringIO()))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        logging.disable(max(before, level))
        try:
            yield
        finally:
            logging.disable(before)


def keep_back() -> None:
    """Hides those lines from now on, in this process."""
    for name in NOTES.keys() - ({"torch.__trace"} if os.environ.get("TORCH_TRACE") else set()):
        logger = logging.getLogger(name)
        if _is_worth_saying not in logger.filters:
            logger.addFilter(_is_worth_saying)


def _is_worth_saying(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not all(part in message for part in NOTES[record.name])
