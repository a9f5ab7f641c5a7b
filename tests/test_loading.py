"""Names and the plug-ins that they mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimgate.errors import SuiteError
from slimgate.loading import known, load, load_object, module_of


def test_the_file_name_is_the_registry() -> None:
    assert {"fine_tune", "distill", "keep_layers", "int8_dynamic", "magnitude_prune"} <= set(known("method"))
    assert {"files", "library_docs"} <= set(known("source"))
    assert "text_classification" in known("task")
    assert "eager" in known("runtime")


@pytest.mark.parametrize("kind", ["source", "task", "method", "runtime"])
def test_every_plug_in_of_slimgate_has_what_its_protocol_asks(kind: str) -> None:
    from slimgate.loading import _members

    for name in known(kind):
        plugin = load(kind, name)
        assert [key for key in ("Params", *_members(kind)) if not hasattr(plugin, key)] == [], name


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(SuiteError) as error:
        load("method", "distil")
    assert str(error.value) == '"distil": no such method. Did you mean distill?'


def test_an_unlike_name_gets_all_names_and_where_they_are_told_of() -> None:
    with pytest.raises(
        SuiteError, match=r"known: active_distill, binarize, .*; `slimgate methods` tells what each does"
    ):
        load("method", "quantize")


def test_a_dotted_name_means_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loading_own.py").write_text(
        "from pydantic import BaseModel\n"
        "class Params(BaseModel): pass\n"
        "kinds = frozenset()\n"
        "def load(folder, params, *, device, threads): ...\n"
        "class Runtime:\n"
        "    Params, kinds, load = Params, kinds, load\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    plugin = load("runtime", "loading_own:Runtime")
    assert type(plugin).__name__ == "Runtime"
    assert module_of(plugin) == "loading_own"


def test_an_object_is_loaded_by_module_and_name() -> None:
    assert load_object("slimgate.loading:known") is known


@pytest.mark.parametrize("name", ["a:", ":a", "a:b:c", ".a:b", "a b:c", "../x:y"])
def test_what_is_not_a_dotted_name_is_not_imported(name: str) -> None:
    with pytest.raises(SuiteError, match="no such method"):
        load("method", name)
