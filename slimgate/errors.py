"""What slimgate raises.

    SlimgateError
    ├── SuiteError      the suite file is wrong: schema, names, paths, budgets
    ├── DataError       rows are missing, unlabelled, too few, or used where they may not be
    ├── BuildError      a model could not be loaded or a step could not be applied
    │   └── ProcessDied     a signal ended the process in which a step was tried
    ├── MeasureError    answers, times or bytes could not be measured or are not finite
    └── MissingExtra    an optional package is needed; the message says what to install

A message says where, what was given, what was expected and what to do, in one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager


class SlimgateError(Exception):
    """Base of every error that slimgate raises on purpose. log: further output, for a file; often ""."""

    log: str = ""

    def without_frames(self) -> SlimgateError:
        """A copy of the error without its traceback, whose frames keep models in memory."""
        copy = type(self)(*self.args)
        copy.log = self.log
        return copy


@contextmanager
def name_in_errors(name: str, count: int) -> Iterator[None]:
    """Errors of the block begin with the name of a target, if it is one of several. count: of the targets."""
    try:
        yield
    except SlimgateError as error:
        if count > 1:
            error.args = (f"{name}: {error}",)
        raise


class SuiteError(SlimgateError):
    """A suite file that cannot be run as it is written."""


class DataError(SlimgateError):
    """Rows that are missing, unlabelled, too few, or used where they may not be."""


class BuildError(SlimgateError):
    """A model that could not be loaded, or a step that could not be applied to it."""


class ProcessDied(BuildError):
    """A signal, such as SIGILL or SIGKILL, ended the process in which a step was tried."""


class MeasureError(SlimgateError):
    """Answers, times or bytes that could not be measured, or are not finite."""


class MissingExtra(SlimgateError):
    """An optional package is not installed; the message says what to install."""


# How PyTorch, ONNX Runtime and C++ say, in an error that is no MemoryError, that the memory of the machine or
# of its GPU ran out.
_NO_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "out of memory",
    "bad_alloc",
    "bad allocation",
)


def to_one_line(error: BaseException) -> str:
    """The text of an error in one line, or the name of its class if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def format_error(error: BaseException) -> str:
    """`ValueError: what it said`, or `out of memory (what it said)`."""
    text, lowered = " ".join(str(error).split()), str(error).lower()
    if isinstance(error, MemoryError) or any(words in lowered for words in _NO_MEMORY):
        return f"out of memory ({text})" if text else "out of memory"
    return f"{type(error).__name__}: {text or 'no message'}"


# At most this many known names are listed in a suggestion.
MOST_NAMED = 100


def list_names(names: Sequence[str], limit: int) -> str:
    """`a, b and 3 more`: the first names up to a limit, and the number of further names."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{', '.join(names[:limit])}{more}"


def format_suggestion(name: str, known: Iterable[str]) -> str:
    """`. Did you mean X?` if a known name is close to `name`, else the known names, 100 at most."""
    known = sorted(known)
    if hint := did_you_mean(name, known):
        return hint
    return f"; known: {list_names(known, MOST_NAMED)}" if known else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`. Did you mean X?` if a known name is close to `name`, else an empty text."""
    matches = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.67)
    return f". Did you mean {matches[0]}?" if matches else ""
