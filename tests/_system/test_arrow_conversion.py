"""pyarrow does not import pandas to look at lists, and knows pandas as soon as other code imports it."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

needs_pandas = pytest.mark.skipif(find_spec("pandas") is None, reason="pandas is not installed")

_HIDE = """
import sys
from slimgate._system.arrow_conversion import keep_pandas_unimported
keep_pandas_unimported()
keep_pandas_unimported()
import pyarrow as pa
import pyarrow.dataset
assert pa.array(["a", "b"]).to_pylist() == ["a", "b"]
"""
_UNIMPORTED = 'assert "pandas" not in sys.modules\n'
_USE = """
import pandas as pd
frame = pd.DataFrame({"a": [1.5, None]})
assert pa.table(frame).column("a").to_pylist() == [1.5, None]
assert pa.array(frame["a"]).null_count == 1
assert isinstance(pa.scalar(7, pa.timestamp("ns")).as_py(), pd.Timestamp)
assert pa.table(frame).to_pandas().equals(frame)
assert pd.__spec__.loader.get_data(pd.__file__)
"""


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stderr


def test_lists_become_arrays_without_an_import_of_pandas() -> None:
    assert _run(_HIDE + _UNIMPORTED) == ""


@needs_pandas
def test_pyarrow_knows_pandas_that_is_imported_later() -> None:
    assert _run(_HIDE + _USE) == ""


@needs_pandas
def test_nothing_changes_if_pandas_is_imported_already() -> None:
    assert _run(f"import pandas\n{_HIDE}{_USE}") == ""


@needs_pandas
def test_pandas_is_imported_for_a_column_that_counts_nanoseconds() -> None:
    code = """
from slimgate._system.arrow_conversion import import_pandas_for
import_pandas_for(pa.schema([("a", pa.string()), ("b", pa.timestamp("us"))]))
assert "pandas" not in sys.modules
import_pandas_for(pa.schema([("a", pa.timestamp("ns"))]))
assert pa.array([1], pa.timestamp("ns")).to_pylist()[0].nanosecond == 1
"""
    assert _run(_HIDE + code) == ""
