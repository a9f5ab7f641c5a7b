"""What is said of a package that is missing, and of one that is there and does not work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from slimgate._system.requirements import import_extra
from slimgate.errors import BuildError, MissingExtra


def test_a_package_that_is_not_there_names_its_extra() -> None:
    with pytest.raises(MissingExtra, match=r'it needs an extra: pip install "slimgate\[onnx\]"'):
        import_extra("no_such_package.part", "onnx", "it")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import no_such_dependency", "No module named 'no_such_dependency'"),
        ("raise ImportError('libgomp.so.1: cannot open shared object file')", "libgomp.so.1: cannot open"),
    ],
    ids=["a dependency of it is missing", "a library of the system is missing"],
)
def test_a_package_that_cannot_be_imported_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, why: str
) -> None:
    (tmp_path / "broken_package.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BuildError, match=re.escape(f"it: broken_package cannot be imported: {why}")):
        import_extra("broken_package", "onnx", "it")
