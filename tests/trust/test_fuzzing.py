"""Made-up suites, rows, predictions and records: only slimgate's own errors come back."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimgate._system.toml import format_toml_key, format_toml_value
from tools.trust.fuzz import main
from tools.trust.fuzzing.logs import make_log_cases
from tools.trust.fuzzing.mutating import mutate, mutate_json
from tools.trust.fuzzing.seeds import SEEDS
from tools.trust.fuzzing.targets import SUITE, TARGETS

# The same inputs every time: a machine without a network and a clock that is slow are no reason to fail.
FEW = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
NUMBERS = st.integers() | st.floats()
TEXTS = st.text(max_size=12) | st.sampled_from(["accuracy", "../x", "a:b", "student", "teacher", "\0", "~x"])
VALUES = st.recursive(
    st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["title", "seed", "seeds", "threads", "kind", "source", "text", "label", "splits", "model"]
)
TABLES = st.sampled_from(["suite", "task", "teacher", "variants", "budgets", "measure", "variants.x", "tune"])


def is_one_line(error: str, beginning: str = "") -> bool:
    """Whether it is no error, or one in a single line that begins so."""
    return not error or (error.startswith(beginning) and "\n" not in error.rstrip("\n"))


@FEW
@given(table=TABLES, key=KEYS | TEXTS, value=VALUES)
def test_any_value_under_any_key_of_a_suite(table: str, key: str, value: Any) -> None:
    line = f"{format_toml_key(key)} = {format_toml_value(value)}\n".encode("utf-8", "surrogatepass")
    head = f"[{table}]\n".encode()
    suite = SUITE.replace(head, head + line) if head in SUITE else SUITE + head + line
    assert is_one_line(TARGETS["suite"](suite), "bench/x.toml")


CELLS = st.text(max_size=8) | st.floats().map(str) | st.integers().map(str)


@FEW
@given(
    rows=st.lists(st.lists(CELLS, max_size=5), max_size=6),
    head=st.sampled_from(["id,label,prediction", "id,label,p_0,p_1", ""]),
)
def test_any_cells_of_a_csv_of_predictions(rows: list[list[str]], head: str) -> None:
    text = "\n".join([head, *map(",".join, rows)])
    assert is_one_line(
        TARGETS["predictions"](b"\0" + text.encode("utf-8", "surrogatepass")), "slimgate judge: "
    )


OBJECTS = st.dictionaries(
    st.sampled_from(["id", "label", "prediction", "probabilities", "x"]), VALUES, max_size=5
)


@FEW
@given(rows=st.lists(OBJECTS, min_size=1, max_size=5), surrogates=st.booleans())
def test_any_objects_of_a_jsonl_of_predictions(rows: list[Mapping[str, Any]], surrogates: bool) -> None:
    surrogate = "\\ud800" if surrogates else ""
    lines = "\n".join(json.dumps(row).replace('"x"', f'"x{surrogate}"') for row in rows)
    assert is_one_line(TARGETS["predictions"](b"\1" + lines.encode()), "slimgate judge: ")


@pytest.mark.parametrize("target", TARGETS)
def test_mutated_files_are_answered(target: str) -> None:
    generator = random.Random(f"a test of {target}")
    for _ in range(15):
        assert is_one_line(TARGETS[target](mutate(generator.choice(SEEDS[target]), generator)))


@pytest.mark.parametrize("case", make_log_cases())
def test_a_changed_log_is_refused_or_still_fails(case: str) -> None:
    """The target never passes, and no change raises another error than slimgate's."""
    generator = random.Random(f"a log of {case}")
    number = [*make_log_cases()].index(case)
    for _ in range(40):
        assert is_one_line(TARGETS["logs"](mutate_json(SEEDS["logs"][number], generator)), "slimgate judge: ")


def test_a_mutation_of_json_changes_a_place() -> None:
    generator, data = random.Random(0), b'\0{"a": [{"b": 1}, {"b": 2}]}'
    mutants = {mutate_json(data, generator) for _ in range(5000)}
    assert {b'\0{"a": [{"b": 2}, {"b": 1}]}', b'\0{"a": [{"b": 1}]}', b'\0{"a": [{}, {"b": 2}]}'} <= mutants
    assert {b'\0{"a": [{"b": 1}, {"b": 1}, {"b": 2}]}', b'\0{"a": [{"b": -1}, {"b": 2}]}'} <= mutants
    assert {b'\0{"a": [{"b": null}, {"b": null}]}', b"\0{}"} <= mutants


def test_the_seeds_themselves_are_sound() -> None:
    assert {TARGETS[target](seed) for target, seeds in SEEDS.items() for seed in seeds} == {""}


def test_a_target_that_breaks_is_kept_and_ends_with_1(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS, "suite", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["--one", "suite", "--seconds", "5", "--keep", str(tmp_path)])
    assert [file.name for file in tmp_path.iterdir()] == ["suite-1"]
