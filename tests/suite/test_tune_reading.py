"""[tune] tables: mistakes are told in one line before any model is built."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from slimgate.errors import SuiteError
from slimgate.suite.file import read_suite_text
from slimgate.suite.reader import Reader, load_suite
from slimgate.suite.suite import Suite
from slimgate.suite.tune_reading import find_free_name, make_candidate
from slimgate.suite.tune_space import Choice, Range, iterate_step_lists

STEP = "{ prune_ffn = { pruning_ratio = { choices = [0.25, 0.5] } }, optional = true }"
TUNE = f"""
[tune]
budget = {{ accuracy = {{ drop_points = 1.0 }} }}
[[tune.space]]
name = "students"
steps = [{{ keep_layers = {{ choices = [[0], [0, 3]] }} }}, {STEP}, {{ int8_dynamic = {{}} }}]
"""


def suite_of(bench: Path, text: str) -> Suite:
    path = bench / "x.toml"
    path.write_text(text)
    return load_suite(path, "bench/x.toml")


def mistake(bench: Path, text: str, old: str, new: str) -> str:
    assert old in text
    with pytest.raises(SuiteError) as caught:
        suite_of(bench, text.replace(old, new))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_table_is_read_with_its_choices(bench: Path, suite_text: str) -> None:
    tuning = suite_of(bench, suite_text + TUNE).tuning
    assert tuning is not None
    assert (tuning.max_minutes, tuning.max_trials, tuning.keep) == (30.0, 40, 3)
    assert tuning.tiers[0].quality["accuracy"][0].limit == 1.0
    [space] = tuning.spaces
    assert (space.name, space.parent) == ("students", "teacher")
    assert len(list(iterate_step_lists(space))) == 6


def test_without_a_budget_of_its_own_it_is_the_suites(bench: Path, suite_text: str) -> None:
    text = (suite_text + TUNE).replace("budget = { accuracy = { drop_points = 1.0 } }", "")
    tuning = suite_of(bench, text).tuning
    assert tuning is not None
    assert tuning.tiers[0].quality["accuracy"][0].limit == 2.0
    assert tuning.tiers[0].stated is None


@pytest.mark.parametrize("name", ["tuned", "trial-1"])
def test_steps_may_start_from_a_variant_of_any_name(bench: Path, suite_text: str, name: str) -> None:
    text = suite_text.replace("student", name) + TUNE.replace("steps = [", f'from = "{name}"\nsteps = [', 1)
    text = text.replace("choices = [[0], [0, 3]]", "choices = [[0], [0, 1]]")
    suite = suite_of(bench, text)
    assert suite.tuning is not None
    reader = Reader(read_suite_text(suite.path, "bench/x.toml"), True)
    step_list = next(iter(iterate_step_lists(suite.tuning.spaces[0])))
    candidate = make_candidate(reader, suite, step_list, find_free_name(name, suite))
    assert (candidate.parent, candidate.name) == (name, f"{name}-again")


def test_several_budgets_a_range_and_a_parent(bench: Path, suite_text: str) -> None:
    text = (suite_text + TUNE).replace(
        "budget = { accuracy = { drop_points = 1.0 } }",
        "budget = [{ accuracy = { drop_points = 1.0 } }, "
        "{ accuracy = { drop_points = 5.0 }, size = { compression_min = 3.0 } }]",
    )
    text = text.replace("{ choices = [0.25, 0.5] }", "{ low = 0.1, high = 0.5 }")
    text = text.replace('name = "students"', 'from = "student"').replace("[[0], [0, 3]]", "[[0], [1, 0]]")
    tuning = suite_of(bench, text).tuning
    assert tuning is not None
    assert tuning.tiers[1].size is not None
    [space] = tuning.spaces
    assert (space.name, space.parent) == ("space-1", "student")
    ratio = space.steps[1].content["prune_ffn"]["pruning_ratio"]
    assert ratio == Range("space-1 steps[1].prune_ffn.pruning_ratio", 0.1, 0.5, False, None, False)
    assert isinstance(space.steps[0].content["keep_layers"], Choice)


MISTAKES = [
    ("{ keep_layers = { c", "{ keep_layer = { c", '[tune] space[0].steps[0]: "keep_layer": no such step'),
    (
        "[[0], [0, 3]]",
        "[]",
        "[tune] space[0].steps[0].keep_layers.choices: [] was given, expected a list of 1",
    ),
    (
        "[[0], [0, 3]]",
        "3",
        "[tune] space[0].steps[0].keep_layers.choices: 3 was given, expected a list, in [ ]",
    ),
    (
        "[[0], [0, 3]]",
        "[[0], [0]]",
        "[tune] space[0].steps[0].keep_layers.choices[1]: the same as choices[0]",
    ),
    ("[[0], [0, 3]]", '[[0], "a"]', '[tune] space[0].steps[0].keep_layers: "a" was given, expected a list'),
    ("[[0], [0, 3]]", "[[4], [5]]", "[4] was given, but the model has blocks 0 to 3 at this step"),
    ("[0.25, 0.5]", "[0.25, 0.0]", "pruning_ratio: 0.0 was given, expected more than 0"),
    ("[0.25, 0.5]", '[0.25, "0.5"]', 'steps[1].prune_ffn.pruning_ratio: "0.5" was given, expected a number'),
    (
        "choices = [0.25, 0.5]",
        "low = 0.5, high = 0.25",
        "low = 0.5 and high = 0.25 were given, expected low under",
    ),
    ("choices = [0.25, 0.5]", "low = 0.5", "pruning_ratio.high: missing, it must be given"),
    ("choices = [0.25, 0.5]", "low = 0.1, high = 2.0", "pruning_ratio: 2.0 was given, expected less than 1"),
    ("choices = [0.25, 0.5]", "low = 0.0, high = 0.5, log = true", "expected more than 0 if log = true"),
    ("choices = [0.25, 0.5]", "low = 0.1, hihg = 0.5", "unknown key hihg. Did you mean high?"),
    ("[0.25, 0.5] }", "[0.25, 0.5], log = true }", "pruning_ratio: unknown key log; known: choices"),
    ("pruning_ratio =", "pruning_ration =", "unknown key pruning_ration. Did you mean pruning_ratio?"),
    ("optional = true", 'optional = "yes"', 'steps[1].optional: "yes" was given, expected true or false'),
    (
        "optional = true",
        "optinal = true",
        "2 steps (prune_ffn, optinal) was given, expected one step per table",
    ),
    ("[tune]\n", "[tune]\ntrials = 3\n", "[tune]: unknown key trials. Did you mean max_trials?"),
    ("[tune]\n", "[tune]\nmax_minutes = 0\n", "[tune] max_minutes: 0 was given, expected more than 0"),
    ("[tune]\n", "[tune]\nkeep = 0\n", "[tune] keep: 0 was given, expected 1 or more"),
    (
        "[tune]\n",
        '[tune]\nsplit = "gate"\n',
        "the gate's rows are for verdicts only; a search chooses on selection",
    ),
    ("[tune]\n", '[tune]\nsplit = "train"\n', '[tune] split: "train" was given, expected "selection"'),
    ('name = "students"', 'from = "studnet"', 'space[0].from: "studnet": no such variant. Did you mean'),
    ('name = "students"', 'nam = "students"', "[tune] space[0]: unknown key nam. Did you mean name?"),
    (
        'name = "students"',
        'runtime = { name = "eagre" }',
        '[tune] space[0].runtime: "eagre": no such runtime. Did you mean eager?',
    ),
    ("accuracy = { drop_points = 1.0 }", "acuracy = { drop_points = 1.0 }", "Did you mean accuracy?"),
    ("accuracy = { drop_points = 1.0 }", "", "[tune.budget]: needs a budget on a metric, such as"),
    (
        "accuracy = { drop_points = 1.0 } }\n[[",
        "accuracy = { drop_points = 1.0 }, size = { quantized_share_min = 0.9 } }\n[[",
        "quantized_share_min: a search judges only metrics and size; the gate judges the rest",
    ),
    (
        "accuracy = { drop_points = 1.0 } }\n[[",
        "accuracy = { drop_points = 1.0 }, latency = { speedup_min = 2.0 } }\n[[",
        "a search judges only metrics and size; the gate judges the rest",
    ),
    *(
        (
            "accuracy = { drop_points = 1.0 } }\n[[",
            f"accuracy = {{ drop_points = 1.0 }}, {table} }}\n[[",
            f"[tune.budget.{table.partition(' ')[0]}]: a search judges only metrics and size",
        )
        for table in (
            "memory = { memory_ratio_max = 0.5 }",
            "kl = { mean_max = 0.01 }",
            "top1_agreement = { floor = 0.9 }",
            "baseline = { accuracy = { drop_points = 1.0 } }",
        )
    ),
    (
        "selection = 24",
        "selection = 0",
        "[task.splits] selection: 0 was given, but [tune] chooses on these rows",
    ),
    (
        STEP,
        "{ int8_dynamic = {} }, " + STEP.replace(", optional = true", ""),
        "space[0].steps[2].prune_ffn: cannot start from an artifact of kind torch_quantized, expected torch",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES, ids=[str(i) for i in range(len(MISTAKES))])
def test_a_mistake_is_reported_in_one_line(
    bench: Path, suite_text: str, old: str, new: str, message: str
) -> None:
    error = mistake(bench, suite_text + TUNE, old, new)
    assert error.startswith("bench/x.toml [ta" if "task" in message else "bench/x.toml [tune")
    assert message in error


def test_two_spaces_of_one_name_are_refused(bench: Path, suite_text: str) -> None:
    second = '[[tune.space]]\nname = "students"\nsteps = [{ int8_dynamic = {} }]\n'
    error = mistake(bench, suite_text + TUNE, "[[tune.space]]", second + "[[tune.space]]")
    assert error == 'bench/x.toml [tune] space[1].name: "students": space[0] has the same name'


def test_an_impossible_step_list_is_named_with_its_place(bench: Path, suite_text: str) -> None:
    first = "{ keep_layers = { choices = [[0], [0, 3]] }, optional = true }, { keep_layers = [2] }"
    text = (suite_text + TUNE).replace("{ keep_layers = { choices = [[0], [0, 3]] } }", first)
    suite = suite_of(bench, text)
    reader = Reader(read_suite_text(suite.path, "bench/x.toml"), True)
    assert suite.tuning is not None
    errors = []
    for step_list in iterate_step_lists(suite.tuning.spaces[0]):
        try:
            variant = make_candidate(reader, suite, step_list, "trial-1")
        except SuiteError as error:
            errors.append(str(error))
        else:
            assert [step.name for step in variant.steps] == [next(iter(step)) for _, step in step_list.steps]
            assert step_list.steps[0] == (1, {"keep_layers": (2,)})
    assert len(errors) == 6  # of 9: both choices of the first step, times three of the third
    assert all(
        re.match(r"bench/x\.toml \[tune\] space\[0\]\.steps\[1\]\.keep_layers: \[2\] was given", s)
        for s in errors
    )
