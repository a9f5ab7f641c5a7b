from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import slimgate.judge.metrics
from slimgate.errors import SuiteError
from slimgate.judge.metrics import list_known_metrics, load_metric, registry


def test_the_metrics_of_issue_2_are_known() -> None:
    averaged = {
        f"{s}{a}" for s in ("precision", "recall", "f1") for a in ("", "_macro", "_micro", "_weighted")
    }
    assert {
        "accuracy",
        "balanced_accuracy",
        "mcc",
        "roc_auc",
        "pr_auc",
        "log_loss",
        "brier",
        "ece",
    } | averaged <= set(list_known_metrics())


def test_unknown_metric_suggests_the_nearest() -> None:
    with pytest.raises(SuiteError, match=r'^"f1_makro": no such metric\. Did you mean f1_macro\?$'):
        load_metric("f1_makro")


def test_a_name_with_a_dot_is_a_users_own_metric() -> None:
    with pytest.raises(SuiteError, match=r'no such metric\. Did you mean "mytools\.quality:careful"\?$'):
        load_metric("mytools.quality.careful")


@pytest.fixture
def added_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A further folder of metric files, found as if its files were slimgate's own."""
    monkeypatch.setattr(slimgate.judge.metrics, "__path__", [*slimgate.judge.metrics.__path__, str(tmp_path)])
    registry._import_metrics.cache_clear()
    monkeypatch.setattr(registry, "_import_metrics", registry._import_metrics.__wrapped__)
    return tmp_path / "added_for_a_test.py"


def test_a_new_file_adds_its_metrics(added_file: Path) -> None:
    added_file.write_text(
        "from slimgate.judge.metrics.classification import METRICS as m\nMETRICS = {'own': m['mcc']}\n"
    )
    assert "own" in list_known_metrics()


def test_a_metric_listed_twice_is_an_error(added_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = SimpleNamespace(METRICS={"mcc": load_metric("mcc")})
    monkeypatch.setitem(__import__("sys").modules, f"slimgate.judge.metrics.{added_file.stem}", listed)
    added_file.touch()
    with pytest.raises(SuiteError, match='"mcc" is already listed in another file'):
        list_known_metrics()


def test_a_broken_metric_file_does_not_vanish(added_file: Path) -> None:
    added_file.with_stem("broken_for_a_test").write_text("import no_such_package\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        list_known_metrics()


def test_nothing_heavy_is_imported_at_the_top() -> None:
    root = Path(slimgate.judge.metrics.__file__).parents[1]
    heavy = {"torch", "evaluate", "datasets", "transformers", "sklearn", "scipy"}
    files = list(root.rglob("*.py"))
    assert {"message.py", "metrics/curves.py", "scores/maths.py"} <= {
        file.relative_to(root).as_posix() for file in files
    }
    for file in files:
        for node in ast.parse(file.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not heavy & {name.partition(".")[0] for name in names}, file


def test_a_dotted_path_means_a_users_own_metric() -> None:
    metric = load_metric("fixtures.own.metric:cost_weighted_accuracy")
    assert metric.name == "cost_weighted_accuracy"
    assert metric.name not in list_known_metrics()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (
            "fixtures.own.metric:COSTS",
            "it is of type dict, expected a Metric (see slimgate/judge/metrics/base.py), or a function that "
            "[task] scores names",
        ),
        (
            "fixtures.own.metric:cost_weighted",
            "fixtures.own.metric has no cost_weighted. Did you mean cost_weighted_accuracy?",
        ),
        (
            "tests.judge.metrics.test_metric_registry:NAMED_AS_OURS",
            "mcc is a metric of slimgate; give your metric another name",
        ),
        (
            "tests.judge.metrics.test_metric_registry:WITH_A_TEXT",
            "higher_is_better is 'no', expected True or False",
        ),
        (
            "tests.judge.metrics.test_metric_registry:WITH_A_TURNED_RANGE",
            "value_range is (1.0, 0.0), expected its lowest and its highest value, such as (0.0, 1.0)",
        ),
        ("tests.judge.metrics.test_metric_registry:WITHOUT_A_NAME", "its name is 3, expected a text"),
    ],
    ids=["dict", "no such object", "name of ours", "direction", "range", "name"],
)
def test_what_is_no_metric_is_reported_in_one_line(name: str, problem: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load_metric(name)
    assert str(caught.value) == f'metric "{name}": {problem}'


NAMED_AS_OURS = load_metric("mcc")
WITH_A_TEXT = replace(NAMED_AS_OURS, name="mine", higher_is_better="no")  # type: ignore[arg-type]
WITH_A_TURNED_RANGE = replace(NAMED_AS_OURS, name="mine", value_range=(1.0, 0.0))
WITHOUT_A_NAME = replace(NAMED_AS_OURS, name=3)  # type: ignore[arg-type]
