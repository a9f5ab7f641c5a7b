"""Every key of a suite is a demand that is compared, or is on the list of what demands nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from slimgate.judge.budget_tables import (
    TOKEN_TABLES,
    BaselineBudgetTable,
    FlipsBudget,
    FlopsBudget,
    MeasurementBudgetTable,
    MemoryBudget,
    QualityBudgetTable,
    SizeBudgetTable,
    SliceBudget,
    TeacherBudgetTable,
)
from slimgate.judge.latency_budgets import LatencyBudgetTable
from slimgate.record.comparing.demands import _RULES, CODE
from slimgate.record.comparing.weakenings import find_weakenings
from slimgate.record.task import DemandedBudget, Demands
from slimgate.record.verdicts import Weakening
from slimgate.run.demands import NO_DEMAND, make_demands
from slimgate.suite.budgets import EXAMPLES, NOT_COMMON, resolve_budgets
from slimgate.suite.reader import load_suite
from slimgate.suite.schema import make_suite_schema
from slimgate.suite.tables import (
    BaselineTable,
    MeasureTable,
    SuiteFile,
    SuiteTable,
    TaskTable,
    TeacherTable,
    VariantTable,
)
from slimgate.suite.variant_budgets import VariantBudgets

BUDGETS = "accuracy = { drop_points = 2.0 }"
# Tables of [budgets] by their keys, each with a value of every limit.
TABLES: dict[str, tuple[type[Any], dict[str, float]]] = {
    "accuracy": (
        QualityBudgetTable,
        {
            "drop_points": 2.0,
            "equivalent_points": 2.0,
            "drop_relative": 0.02,
            "error_increase_relative": 0.5,
            "floor": 0.8,
        },
    ),
    "log_loss": (QualityBudgetTable, {"increase_relative": 0.1, "ceiling": 0.9}),
    "size": (SizeBudgetTable, {"compression_min": 2.0, "quantized_share_min": 0.8}),
    "flops": (FlopsBudget, {"ratio_max": 0.5}),
    "memory": (MemoryBudget, {"memory_ratio_max": 0.5}),
    "flips": (FlipsBudget, {"flips_max_percent": 1.0}),
    "kl": (TOKEN_TABLES["kl"], {"mean_max": 0.1, "p99_max": 0.5, "p999_max": 1.0}),
    "top1_agreement": (TOKEN_TABLES["top1_agreement"], {"floor": 0.9}),
    "latency": (
        LatencyBudgetTable,
        {name: 2.0 for name in LatencyBudgetTable.model_fields if name not in ("reason", "on_inconclusive")},
    ),
}
# What a budget says beside its limits; the last three are options that are compared.
ABOUT = {"reason", "on_inconclusive", "over", "cap", "above_cap_max"}


@pytest.fixture
def suite(bench: Path, suite_text: str) -> Any:
    """Gives the demands of the suite with texts replaced."""

    def demands(*replaced: tuple[str, str]) -> Demands:
        text = suite_text
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        (bench / "x.toml").write_text(text)
        return make_demands(load_suite(bench / "x.toml", "bench/x.toml"))

    return demands


def test_every_key_of_a_suite_is_compared_or_demands_nothing(suite: Any) -> None:
    tables = {
        "suite": SuiteTable,
        "task": TaskTable,
        "teacher": TeacherTable,
        "variants": VariantTable,
        "measure": MeasureTable,
    }
    keys = {f"{table}.{name}" for table, model in tables.items() for name in model.model_fields}
    keys |= {f"budgets.baseline.{name}" for name in BaselineTable.model_fields} | {"tune"}
    assert set(tables) | {"budgets", "tune"} == set(SuiteFile.model_fields)
    settings = set(suite().settings)
    compared = settings | {"variants.gated"}  # Demands.gated
    assert keys - compared == set(NO_DEMAND)
    assert not set(NO_DEMAND) & compared
    # Records of logs have no suite; what their samples were judged by is in the task's parameters.
    assert set(_RULES) - settings == {
        *("logs.missing", "logs.allow", "logs.loads", "logs.analyses", "logs.positive"),
        *("logs.compared", "logs.differences"),
    }


def test_the_tasks_own_options_are_settings(suite: Any) -> None:
    settings = suite().settings
    assert (settings["task.max_tokens"], settings["task.text"], settings["task.label"]) == (
        16,
        ["text"],
        "label",
    )
    assert json.loads(json.dumps(settings)) == settings


def test_every_key_of_the_budgets_of_the_schema_is_a_demand() -> None:
    schema = make_suite_schema()["properties"]["budgets"]
    known = set(schema["properties"])
    special = {"slices", "baseline", "measurements", *NOT_COMMON}
    metrics = known - set(EXAMPLES) - special
    assert known - metrics - special == set(TABLES) - {"accuracy", "log_loss"}
    for key, (table, limits) in TABLES.items():
        fields = set(table.model_fields) - ABOUT
        covered = set(limits)
        if table is QualityBudgetTable:  # a metric of which more is better, and one of which less is
            covered = {
                name for budget_table, limits in TABLES.values() if budget_table is table for name in limits
            }
            covered |= {"length_ratio_max", "length_ratio_min"}  # of tasks that write answers
        assert fields == covered, key
    assert set(SliceBudget.model_fields) - ABOUT == {"drop_points"}
    quality = set(QualityBudgetTable.model_fields)
    assert set(BaselineBudgetTable.model_fields) <= quality
    assert set(MeasurementBudgetTable.model_fields) - ABOUT == set(MeasurementBudgetTable.kinds)
    assert set(TeacherBudgetTable.model_fields) <= quality


CASES = [(key, kind, value) for key, (_, limits) in TABLES.items() for kind, value in limits.items()]
CASES += [("slices", "accuracy", 5.0), ("slices", "label", 5.0), ("baseline", "accuracy", 2.0)]
CASES += [("measurements", kind, 2.0) for kind in MeasurementBudgetTable.kinds]


def table_of(key: str, kind: str, value: float) -> dict[str, Any]:
    if key == "slices" and kind == "label":
        return {"slices": {"label": {"refund": {"accuracy": {"drop_points": value}}}}}
    if key in ("slices", "baseline"):
        return {key: {kind: {"drop_points": value}}}
    if key == "measurements":
        return {key: {"load_time": {kind: value}}}
    return {key: {kind: value}}


def demanded(budgets: dict[str, Any], **of_one: Any) -> Demands:
    """The demands of these budgets on one variant."""
    data = {"budgets": {**budgets, **of_one}}
    resolved: VariantBudgets = resolve_budgets(data, ("int8",), "x.toml", without_builds=True)["int8"]
    return Demands(
        budgets=[
            {
                "variant": "int8",
                "budget": name,
                "kind": limit_kind,
                "limit": limit.limit,
                "on_inconclusive": limit.on_inconclusive,
                "options": dict(limit.options),
                "reason": limit.reason,
            }
            for (name, limit_kind), limit in resolved.list_limits("fail").items()
        ],
        gated={"int8": True},
    )


@pytest.mark.parametrize(("key", "kind", "value"), CASES)
def test_each_budget_that_is_deleted_or_looser_is_a_weaker_gate(key: str, kind: str, value: float) -> None:
    """Looser is one of the two directions, and the other is not."""
    before = demanded(table_of(key, kind, value))
    (gone,) = find_weakenings(before, demanded({}))
    assert (gone.about, gone.change.endswith("is gone")) == ("budgets", True)
    factors = (0.9, 1.1)
    weaker = [find_weakenings(before, demanded(table_of(key, kind, value * factor))) for factor in factors]
    assert sorted(map(len, weaker)) == [0, 1]
    assert find_weakenings(before, before) == find_weakenings(demanded({}), before) == []


@pytest.mark.parametrize("key", ["flips", "memory", "kl", "latency", "accuracy", "slices"])
def test_what_failed_undecided_and_only_warns_is_a_weaker_gate(key: str) -> None:
    kind = "accuracy" if key == "slices" else next(iter(TABLES[key][1]))
    table = table_of(key, kind, 1.0 if key in ("slices", "flips", "accuracy") else 0.5)
    warns: dict[str, Any] = json.loads(json.dumps(table))
    (warns[key][kind] if key == "slices" else warns[key])["on_inconclusive"] = "warn"
    (weakening,) = find_weakenings(demanded(table), demanded(warns))
    assert weakening.change.endswith("failed the run if it was undecided, and only warns now")
    assert find_weakenings(demanded(warns), demanded(table)) == []


def test_a_budget_over_builds_that_is_over_rows_is_a_weaker_gate() -> None:
    over = {"accuracy": {"drop_points": 2.0, "over": "builds"}}
    (weakening,) = find_weakenings(demanded(over), demanded({"accuracy": {"drop_points": 2.0}}))
    assert weakening.change == ('int8, accuracy: drop_points was with {"over": "builds"} and is with not set')
    assert find_weakenings(demanded({"accuracy": {"drop_points": 2.0}}), demanded(over)) == []


@pytest.mark.parametrize(
    ("before", "now", "is_weaker"),
    [
        ({"cap": 2.0}, {"cap": 2.0, "over": "builds"}, False),
        ({"above_cap_max": 0.01}, {"above_cap_max": 0.001, "over": "builds"}, False),
        ({"cap": 2.0, "above_cap_max": 0.01}, {"over": "builds"}, True),
        ({"over": "builds"}, {"above_cap_max": 0.01}, True),
    ],
    ids=["builds", "builds and share", "builds without the cap", "share without builds"],
)
def test_each_changed_option_must_be_stricter(
    before: dict[str, Any], now: dict[str, Any], is_weaker: bool
) -> None:
    gates = [
        Demands(
            budgets=[
                DemandedBudget(variant="int8", budget="mse", kind="drop_points", limit=2.0, options=options)
            ],
            gated={"int8": True},
        )
        for options in (before, now)
    ]
    assert bool(find_weakenings(*gates)) == is_weaker


def test_more_rows_above_the_cap_are_a_weaker_gate() -> None:
    before = demanded({"kl": {"mean_max": 0.5, "above_cap_max": 0.01}})
    (weakening,) = find_weakenings(before, demanded({"kl": {"mean_max": 0.5, "above_cap_max": 0.1}}))
    assert weakening.change == (
        'int8, kl: mean_max was with {"above_cap_max": 0.01} and is with {"above_cap_max": 0.1}'
    )
    assert (
        len(find_weakenings(before, demanded({"kl": {"mean_max": 0.5, "cap": 9.0, "above_cap_max": 0.01}})))
        == 1
    )


def lines(weakenings: list[Weakening]) -> list[str]:
    return [weakening.change for weakening in weakenings]


INT8 = 'int8 = { from = "student", steps = [{ int8_dynamic = {} }] }'
INFORMATIONAL = INT8.replace("] }", '], gated = false, reason = "later" }')


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        (INT8, "", "int8 is gone, with its budgets"),
        (INT8, INFORMATIONAL, "int8 is not gated now: it fails no run"),
        ('group = "file"', "", '[task] group was "file" and is not set'),
        ("max_tokens = 16", "max_tokens = 4", "[task] max_tokens was 16 and is 4"),
        ("threads = 1", "threads = 1\nseeds = [1]", "[suite] seeds was [0] and is [1]"),
        ("threads = 1", "threads = 1\nopt_in = true", "[suite] opt_in was false and is true"),
        ("threads = 1", "threads = 8", "[suite] threads was 1 and is 8"),
        ("epochs = 1", "epochs = 2", "[teacher] steps was"),
        ("rounds = 3", "rounds = 2", "[measure] rounds was 3 and is 2"),
        ("rounds = 3", "rounds = 3\nwarmup = 1", "[measure] warmup was 10 and is 1"),
        ("rounds = 3", "rounds = 3\nmax_seconds = 1.0", "[measure] max_seconds was 2.0 and is 1.0"),
        ("{ batch = 1 }", "{ batch = 2 }", '[measure] workloads was ["b1"] and is ["b2"]'),
    ],
)
def test_what_of_a_suite_makes_the_gate_weaker(suite: Any, old: str, new: str, change: str) -> None:
    (weakening,) = find_weakenings(suite(), suite((old, new)))
    assert (weakening.change.startswith(change), weakening.reason) == (True, None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('title = "tiny"', 'title = "another heading"'),
        ("rounds = 3", "rounds = 30"),
        ("rounds = 3", "rounds = 3\nbatch_size = 2"),
        ("[{ batch = 1 }]", "[{ batch = 1 }, { batch = 2 }]"),
        ('["accuracy"]', '["accuracy", "f1_macro"]'),
        ('group = "file"', 'group = "file"\nslices = ["length_bucket"]'),
        ("keep_layers = [0, 3]", "keep_layers = [0, 1]"),
        (BUDGETS, f'{BUDGETS}\nflips = {{ flips_max_percent = 1.0 }}\nfamily = "holm"'),
    ],
)
def test_what_makes_no_gate_weaker(suite: Any, old: str, new: str) -> None:
    assert find_weakenings(suite(), suite((old, new))) == []


def test_lost_columns_metrics_and_families_are_a_weaker_gate(suite: Any) -> None:
    more = (
        ('group = "file"', 'group = "file"\nslices = ["length_bucket"]'),
        ('["accuracy"]', '["accuracy", "f1_macro"]'),
        (BUDGETS, f'{BUDGETS}\nfamily = "holm"'),
    )
    assert lines(find_weakenings(suite(*more), suite())) == [
        '[task] slices was ["length_bucket"] and is []',
        '[measure] metrics was ["accuracy", "f1_macro"] and is ["accuracy"]',
        '[budgets] family was "holm" and is not set',
    ]


def test_a_reason_of_the_baseline_table_accepts_all_once(suite: Any) -> None:
    """The words that the baseline had already are not about this change."""
    reason = ("[measure]", '[budgets.baseline]\nreason = "new data"\n[measure]')
    fewer = ("rounds = 3", "rounds = 2")
    (accepted,) = find_weakenings(suite(), suite(reason, fewer))
    assert accepted.reason == "new data"
    (stale,) = find_weakenings(suite(reason), suite(reason, fewer))
    assert stale.reason is None


@pytest.mark.parametrize(
    ("before", "now", "accepted", "reason"),
    [
        (None, "new data", None, "new data"),
        ("old data", "new data", None, "new data"),
        ("new data", "new data", None, None),
        ("old data", None, None, None),
        (None, " ", None, None),
        ("new data", "new data", "agreed", "agreed"),
    ],
    ids=["first", "another", "the same", "gone", "blank", "accepted"],
)
def test_the_common_reason_is_new_or_of_the_acceptance(
    before: str | None, now: str | None, accepted: str | None, reason: str | None
) -> None:
    old, new = (
        Demands(settings={"measure.rounds": rounds}, reason=stated)
        for rounds, stated in ((3, before), (2, now))
    )
    (weakening,) = find_weakenings(old, new, accepted=accepted)
    assert weakening.reason == reason


def test_code_and_files_count_by_what_they_hold(
    bench: Path, suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(bench.parent)
    metric = "from dataclasses import replace\nfrom slimgate.judge.metrics import load_metric\n"
    metric += "right = replace(load_metric('accuracy'), name='right')\n"
    (bench.parent / "own_right.py").write_text(metric)
    edit = ('["accuracy"]', '["accuracy", "own_right:right"]')
    before = suite(edit)
    assert f"{CODE}own_right:right" in before.settings
    assert find_weakenings(before, before) == []
    changed = before.model_copy(update={"settings": {**before.settings, f"{CODE}own_right:right": "other"}})
    assert lines(find_weakenings(before, changed)) == ["the code of own_right:right has changed"]


def test_a_users_step_that_makes_the_teacher_counts_by_its_code(
    bench: Path, suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(bench.parent)
    code = "from slimgate.plugins.step import Step\nfrom slimgate.plugins.params import Table\n"
    code += "class Options(Table):\n    pass\nclass Keep(Step[Options]):\n"
    code += "    def apply(self, model, params, context):\n"
    (bench.parent / "own_teaching.py").write_text(f"{code}        return model\n")
    settings = suite(("{ fine_tune = { epochs = 1 } }", '{ "own_teaching:Keep" = {} }')).settings
    assert f"{CODE}own_teaching:Keep" in settings
    assert f"{CODE}own_teaching:Keep" not in suite().settings


def test_the_teachers_files_count_but_for_texts_about_it(bench: Path, suite: Any) -> None:
    model = bench.parent / "model"
    before = suite()
    (model / "README.md").write_text("A card.")
    (model / ".gitattributes").write_text("")
    assert find_weakenings(before, suite()) == []
    (model / "chat_template.jinja").write_text("{{ messages }}")
    assert lines(find_weakenings(before, suite())) == ["the teacher is another model: its files differ"]
