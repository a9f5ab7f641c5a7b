"""Silences libraries that log, warn and print while they convert a model: errors come as exceptions.

`hide_import_notes` also hides what libraries log about themselves. Example: `transformers.modeling_utils`
loads all quantizers, and one of them imports torchao. Then torchao logs which of its libraries are for
another Python or a GPU, in runs that do not use it. A missing kernel is still an error when it is called.
"""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout

# Logger -> the parts that a hidden message has. Without parts, all its messages are hidden.
_HIDDEN_PARTS = {
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


def hide_import_notes() -> None:
    """Hides the messages of _HIDDEN_PARTS from now on, in this process."""
    for name in _HIDDEN_PARTS.keys() - ({"torch.__trace"} if os.environ.get("TORCH_TRACE") else set()):
        logger = logging.getLogger(name)
        if _is_worth_saying not in logger.filters:
            logger.addFilter(_is_worth_saying)


def _is_worth_saying(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not all(part in message for part in _HIDDEN_PARTS[record.name])
