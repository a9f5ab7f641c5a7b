"""No call in slimgate loads a pickle, runs a model's own code, or reads YAML as objects."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import slimgate

FILES = sorted(Path(slimgate.__file__).parent.rglob("*.py"))
FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
OPENED_BY = {"AutoTokenizer", "AutoConfig", "CLIPImageProcessorPil"}


@cache
def list_nodes() -> list[tuple[Path, ast.Call | ast.Attribute]]:
    """Calls and attributes of each file."""
    return [
        (file, node)
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call | ast.Attribute)
    ]


@cache
def list_calls() -> list[tuple[str, str, dict[str, str]]]:
    """file:line, the called name as it is written, its keywords."""
    return [
        (
            f"{file.name}:{node.lineno}",
            ast.unparse(node.func),
            {keyword.arg or "**": ast.unparse(keyword.value) for keyword in node.keywords},
        )
        for file, node in list_nodes()
        if isinstance(node, ast.Call)
    ]


def test_there_are_calls_to_look_at() -> None:
    names = {name for _, name, _ in list_calls()}
    assert {"np.load", "torch.load", "AutoTokenizer.from_pretrained"} <= names


def test_nothing_of_pickle_is_called_and_only_its_error_is_named() -> None:
    called = [
        where for where, name, _ in list_calls() if name.split(".")[0] in FORBIDDEN or "read_pickle" in name
    ]
    assert called == []
    for file, node in list_nodes():
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("pickle."):
            assert node.attr == "UnpicklingError", file


@pytest.mark.parametrize(
    ("name", "keyword", "value"),
    [
        ("torch.load", "weights_only", "True"),
        ("np.load", "allow_pickle", "False"),
        ("numpy.load", "allow_pickle", "False"),
    ],
)
def test_loaders_that_could_read_a_pickle_are_reported_not_to(name: str, keyword: str, value: str) -> None:
    assert [
        where for where, called, keywords in list_calls() if called == name and keywords.get(keyword) != value
    ] == []


def test_no_call_lets_a_model_run_code_of_its_own() -> None:
    opened = [
        (where, keywords.get("trust_remote_code"))
        for where, name, keywords in list_calls()
        if name in {f"{opener}.from_pretrained" for opener in OPENED_BY}
        or name in {"AutoModel.from_config", "getattr(transformers, auto).from_pretrained"}
    ]
    assert len(opened) > 15
    assert [where for where, trusted in opened if trusted != "False"] == []


def test_yaml_is_never_read_and_text_is_code_in_one_place_only() -> None:
    places = [
        where for where, name, _ in list_calls() if name in ("yaml.load", "yaml.unsafe_load", "eval", "exec")
    ]
    # the process with limits in which the score passes_tests runs an answer, where a suite says so
    assert [where.partition(":")[0] for where in places] == ["limited_child.py"]
