"""Errors of a user's code, such as a step or a source, in one line that says where they come from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from slimgate._system.error_places import format_user_error
from slimgate.errors import BuildError, DataError, SlimgateError


@contextmanager
def explain_plugin_errors(kind: str, name: str) -> Iterator[None]:
    """Raises DataError in place of an error that the code of a user's source or task did not foresee."""
    try:
        yield
    except SlimgateError:
        raise
    except Exception as error:  # a user's plug-in may raise anything
        if ":" not in name:
            raise
        raise DataError(f'{kind} "{name}": {format_user_error(error)}') from error


@contextmanager
def explain_step_errors(where: str) -> Iterator[None]:
    """Puts the step and the variant before the message of any error, in one line."""
    try:
        yield
    except SlimgateError as error:
        raise type(error)(_join_message(where, str(error))) from error
    except Exception as error:  # a user's step may raise anything; the cause stays chained
        raise BuildError(f"{where}: {format_user_error(error)}") from error


def _join_message(where: str, message: str) -> str:
    """The message behind `where`, without repeating the model that both name."""
    subject, _, problem = message.partition(": ")
    is_repeated = bool(problem) and where.endswith(" " + subject.strip('"'))
    return f"{where}: {problem if is_repeated else message}"
