"""The strings under fields, read from the source."""

from __future__ import annotations

import sys
import zipfile
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import Field

from slimgate.plugins.params import Table, read_field_texts


class Grid(Table):
    """bits: no text of a field."""

    bits: int = Field(default=4, ge=2)
    """Bits of a weight
    in the linear layers."""
    scale: float = 1.0

    """Text of `scale`, behind an empty line."""
    bare: bool = False

    @property
    def levels(self) -> int:
        """2 ** bits"""
        return 2**self.bits


class Wide(Grid):
    bits: int = 8
    scale: float = 2.0
    """Another text."""
    name: str | None = Field(default=None, alias="as")
    """What it is called."""


def test_a_text_is_the_string_under_a_field_on_one_line() -> None:
    assert read_field_texts(Grid, Table) == {
        "bits": "Bits of a weight in the linear layers.",
        "scale": "Text of `scale`, behind an empty line.",
    }


def test_a_field_declared_again_keeps_or_replaces_its_text() -> None:
    assert read_field_texts(Wide, Table) == {
        "bits": "Bits of a weight in the linear layers.",
        "scale": "Another text.",
        "name": "What it is called.",
    }


def test_the_schema_has_the_texts_by_the_users_names() -> None:
    options = Wide.model_json_schema()["properties"]
    assert options["as"]["description"] == "What it is called."
    assert options["bits"]["description"] == "Bits of a weight in the linear layers."
    assert "description" not in options["bare"]


def test_a_class_inside_a_function_has_its_texts() -> None:
    class Grid(Table):
        bits: int = 2
        """Other bits."""

    assert read_field_texts(Grid, Table) == {"bits": "Other bits."}


def test_a_description_of_the_field_goes_before_its_text() -> None:
    class Own(Table):
        rows: int = Field(default=1, description="Rows that count.")
        """Rows."""

    assert Own.model_json_schema()["properties"]["rows"]["description"] == "Rows that count."


def test_a_class_without_a_source_has_no_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, object] = {"Table": Table, "__name__": "made_here"}
    monkeypatch.setitem(sys.modules, "made_here", ModuleType("made_here"))
    exec('class Made(Table):\n    bits: int = 2\n    "Bits."\n', names)
    subclass = names["Made"]
    assert isinstance(subclass, type)
    assert read_field_texts(subclass, Table) == {}


def test_texts_come_with_modules_inside_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "tools.zip", "w") as archive:
        source = (
            "from slimgate.plugins.params import Table\n"
            'class Params(Table):\n    bits: int = 2\n    "Bits."\n'
        )
        archive.writestr("zipped_tools.py", source)
    monkeypatch.syspath_prepend(tmp_path / "tools.zip")
    params = import_module("zipped_tools").Params
    assert params.model_json_schema()["properties"]["bits"]["description"] == "Bits."
