"""Names and the plug-ins that they mean."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from slimgate.errors import SuiteError
from slimgate.plugins.loading import list_code_modules, list_known_plugins, load, load_object, read_docstring
from slimgate.plugins.module_of import module_of
from slimgate.plugins.step import Step
from slimgate.plugins.user_plugins import BASES


def test_the_file_name_is_the_registry() -> None:
    assert {"fine_tune", "distill", "keep_layers", "int8_dynamic", "magnitude_prune"} <= set(
        list_known_plugins("step")
    )
    assert {"files", "library_docs"} <= set(list_known_plugins("source"))
    assert "text_classification" in list_known_plugins("task")
    assert "eager" in list_known_plugins("runtime")


@pytest.mark.parametrize("kind", ["source", "task", "step", "runtime"])
def test_every_plug_in_has_the_base_class_of_its_kind(kind: str) -> None:
    for name in list_known_plugins(kind):
        plugin = load(kind, name)
        assert isinstance(plugin, BASES[kind]), name
        assert issubclass(plugin.Params, BaseModel), name
        assert read_docstring(plugin), name


@pytest.mark.parametrize("kind", ["source", "task", "step", "runtime"])
def test_a_plug_in_without_brackets_has_no_options(kind: str) -> None:
    plugin = type("Plain", (BASES[kind],), {})
    assert plugin.Params.model_validate({}).model_dump() == {}
    with pytest.raises(ValidationError, match="unknown key x"):
        plugin.Params.model_validate({"x": 1})


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(SuiteError) as error:
        load("step", "distil")
    assert str(error.value) == '"distil": no such step. Did you mean distill?'


def test_an_unlike_name_gets_all_known_names() -> None:
    with pytest.raises(
        SuiteError, match=r"known: active_distill, auto_round, .*; `slimgate steps` describes them"
    ):
        load("step", "quantize")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("classification", ". Did you mean text_classification or token_classification?"),
        ("ner", ". Did you mean token_classification?"),
        ("generation", ". Did you mean text_generation?"),
        ("lm", ". Did you mean causal_lm or lm_eval?"),
        ("embedding", ". Did you mean sentence_embedding?"),
        ("Sentiment-Analysis", ". Did you mean text_classification?"),
        ("perplexity", ", but a metric. Did you mean causal_lm?"),
        ("causal_ml", ". Did you mean causal_lm?"),
    ],
)
def test_what_people_call_a_task_is_answered_with_its_name(name: str, hint: str) -> None:
    with pytest.raises(SuiteError) as error:
        load("task", name)
    assert str(error.value) == f'"{name}": no such task{hint}'


def test_a_dotted_name_means_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loading_own.py").write_text(
        "from pydantic import BaseModel\n"
        "class Params(BaseModel): pass\n"
        "kinds = frozenset()\n"
        "def load(self, folder, params, *, device, threads): ...\n"
        "class Runtime:\n"
        "    Params, kinds, load = Params, kinds, load\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    plugin = load("runtime", "loading_own:Runtime")
    assert type(plugin).__name__ == "Runtime"
    assert module_of(plugin) == "loading_own"


def test_a_class_without_the_base_class_gets_its_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loading_plain.py").write_text(
        "from pydantic import BaseModel\n"
        "class Halve:\n"
        "    class Params(BaseModel): pass\n"
        "    reads = ('calibration',)\n"
        "    def apply(self, model, params, context): return model / 2\n"
        "    def does_without(self, params): return ('calibration',)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    step = load("step", "loading_plain:Halve")
    assert isinstance(step, Step)
    assert (step.takes, step.gives, step.reads) == (frozenset({"torch"}), None, ("calibration",))
    assert step.does_without(None) == ("calibration",)
    assert step.also_reads(None) == ()
    assert step.apply(3.0, None, None) == 1.5
    assert module_of(step) == "loading_plain"


@pytest.mark.parametrize(
    ("kind", "base", "missing"),
    [("step", "Step", "apply"), ("runtime", "Runtime", "load"), ("source", "Source", "columns, digest, ")],
)
def test_what_a_plug_in_lacks_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, base: str, missing: str
) -> None:
    (tmp_path / "loading_half.py").write_text(
        f"from pydantic import BaseModel\nfrom slimgate.plugins.{base.lower()} import {base}\n"
        f"class Params(BaseModel): pass\nclass Half({base}[Params]): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "loading_half", raising=False)
    with pytest.raises(SuiteError) as error:
        load(kind, "loading_half:Half")
    assert f"it has no {missing}" in str(error.value)
    assert f"see {base} in slimgate/plugins/{base.lower()}.py" in str(error.value)


def test_a_subclass_without_a_required_attribute_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loading_kindless.py").write_text(
        "from pydantic import BaseModel\nfrom slimgate.plugins.runtime import Runtime\n"
        "class Params(BaseModel): pass\n"
        "class Kindless(Runtime[Params]):\n    def load(self, folder, params, **more): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SuiteError, match=r"it has no kinds; see Runtime in slimgate/plugins/runtime\.py"):
        load("runtime", "loading_kindless:Kindless")


PLUGINS = """
from dataclasses import dataclass

from slimgate import Runtime, Source, Step

class Cut(Step):
    def apply(self, model, context): ...

class Rows(Source):
    def columns(self, params): ...
    def is_real(self, params): ...
    def digest(self, params): ...
    def read(self, params): ...

class OfText(Runtime):
    kinds = "torch"
    def load(self, folder, params, *, device, threads): ...

class Seeded(Step):
    stochastic = "no"
    def apply(self, model, params, context): ...
"""


@pytest.mark.parametrize(
    ("kind", "name", "problem"),
    [
        (
            "step",
            "Cut",
            "its method is apply(self, model, context), expected apply(self, model, params, context)",
        ),
        ("source", "Rows", "its method is read(self, params), expected read(self, params, *, scratch)"),
        ("runtime", "OfText", "kinds is 'torch', expected a frozenset such as frozenset({'torch'})"),
        ("step", "Seeded", "stochastic is 'no', expected True or False"),
    ],
    ids=["parameters", "keyword", "text for a set", "text for a bool"],
)
def test_a_method_or_a_type_that_does_not_fit_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str, problem: str
) -> None:
    (tmp_path / "loading_misfits.py").write_text(PLUGINS)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SuiteError) as error:
        load(kind, f"loading_misfits:{name}")
    assert str(error.value) == f'{kind} "loading_misfits:{name}": {problem}'


def test_options_that_are_no_table_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loading_dataclass.py").write_text(
        "from dataclasses import dataclass\nfrom slimgate import Step\n"
        "@dataclass\nclass Options:\n    share: float = 0.5\n"
        "class Cut(Step[Options]):\n    def apply(self, model, params, context): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    problem = (
        r"Cut: its options are Options, which is not a subclass of slimgate\.Table \(loading_dataclass\.py"
    )
    with pytest.raises(SuiteError, match=problem):
        load("step", "loading_dataclass:Cut")


def test_an_object_is_loaded_by_module_and_name() -> None:
    assert load_object("slimgate.plugins.loading:list_known_plugins") is list_known_plugins


@pytest.mark.parametrize("name", ["a:", ":a", "a:b:c", ".a:b", "a b:c", "../x:y"])
def test_what_is_not_a_dotted_name_is_not_imported(name: str) -> None:
    with pytest.raises(SuiteError, match="no such step"):
        load("step", name)


def test_a_plug_in_counts_by_its_class_and_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's module makes an instance of a class of another module, with numbers of its own."""
    (tmp_path / "counted_base.py").write_text(
        "from pydantic import BaseModel\n"
        "class Rounder:\n"
        "    class Params(BaseModel): pass\n"
        "    def __init__(self, digits): self.digits = digits\n"
        "    def apply(self, model, params, context): return round(model, self.digits)\n"
        "def logged(function):\n"
        "    def call(model, context): return function(model, context)\n"
        "    return call\n"
    )
    (tmp_path / "counted_steps.py").write_text(
        "from counted_base import Rounder, logged\n"
        "rounder = Rounder(3)\n"
        "@logged\n"
        "def round_up(model, context): return model + 1\n"
    )
    package = tmp_path / "counted_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "inner.py").write_text("from counted_base import Rounder\nstep = Rounder(1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    modules = {
        name: list_code_modules("step", name, load("step", name))
        for name in ("counted_steps:rounder", "counted_steps:round_up", "counted_package:inner", "prune_ffn")
    }
    assert modules == {
        "counted_steps:rounder": ("counted_base", "counted_steps"),
        "counted_steps:round_up": ("counted_base", "counted_steps"),
        "counted_package:inner": ("counted_base", "counted_package", "counted_package.inner"),
        "prune_ffn": ("slimgate.steps.prune.prune_ffn",),
    }
