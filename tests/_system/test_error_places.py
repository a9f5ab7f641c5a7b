"""The text of an error of a user's code names the user's line, not that of a library."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from slimgate._system.error_places import format_user_error, has_users_line


def run(code: str, folder: Path) -> Exception:
    """The error of a user's file with this code."""
    file = folder / "cut.py"
    file.write_text(code)
    with pytest.raises(Exception) as caught:
        runpy.run_path(str(file))
    error = caught.value
    assert error.__traceback__ is not None
    return error.with_traceback(error.__traceback__.tb_next)  # without the line of this test


def test_the_users_line_is_named_if_a_library_raises(tmp_path: Path) -> None:
    error = run("import json\n\njson.loads('{')\n", tmp_path)
    assert format_user_error(error).startswith("JSONDecodeError: Expecting property name")
    assert format_user_error(error).endswith(" (cut.py, line 3)")
    assert has_users_line(error)


def test_an_error_without_a_users_line_names_none() -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads("{")
    assert caught.value.__traceback__ is not None
    error = caught.value.with_traceback(caught.value.__traceback__.tb_next)
    assert format_user_error(error) == f"JSONDecodeError: {error}"
    assert not has_users_line(error)
