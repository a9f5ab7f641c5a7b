"""Packages whose names are imported when they are used."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimgate._system.lazy_names import make_lazy_getattr


def test_a_name_comes_from_its_module() -> None:
    import_name = make_lazy_getattr("package", {"Path": "pathlib"})
    assert import_name("Path") is Path
    with pytest.raises(AttributeError, match="module 'package' has no attribute 'other'"):
        import_name("other")


def test_a_fault_inside_the_module_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`from package import name` would turn an AttributeError into "cannot import name"."""
    (tmp_path / "lazy_package.py").write_text(
        "from slimgate._system.lazy_names import make_lazy_getattr\n"
        '__getattr__ = make_lazy_getattr("lazy_package", {"name": "faulty_module"})\n'
    )
    (tmp_path / "faulty_module.py").write_text("import json\nname = json.no_such_function\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"faulty_module cannot be imported: .*no_such_function"):
        from lazy_package import name  # type: ignore[import-not-found]  # noqa: F401
