"""Libraries that log, warn and print while they convert a model: what matters of it comes as an exception."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout


@contextmanager
def silent(level: int = logging.ERROR) -> Iterator[None]:
    """Nothing printed or warned reaches the terminal from inside, nor log lines up to the level."""
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
