"""Metrics by evaluate.load, on a script in a folder: reported, without an interval, never gated."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from slimgate.errors import MeasureError, SuiteError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.message import format_message
from slimgate.judge.metrics import load_metric
from slimgate.judge.metrics.registry import make_hub_metric
from slimgate.judge.quality import judge_quality
from slimgate.outcomes import ClassOutcomes
from slimgate.suite.reader import load_suite

# evaluate and what it imports deprecate on their own account
pytestmark = [
    pytest.mark.skipif(find_spec("evaluate") is None, reason="evaluate is not installed"),
    pytest.mark.filterwarnings("ignore"),
]

SCRIPT = """
import datasets
import evaluate


class Share(evaluate.Metric):
    def _info(self):
        value = datasets.Value("int64")
        return evaluate.MetricInfo(
            description="share of right rows", citation="", inputs_description="",
            features=datasets.Features({"predictions": value, "references": value}),
        )

    def _compute(self, predictions, references):
        return RETURNED
"""
RIGHT = '{"share": sum(p == r for p, r in zip(predictions, references)) / len(references)}'


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, and a cache of evaluate's of the test's own."""
    import evaluate
    from huggingface_hub import constants

    monkeypatch.setattr(evaluate.config, "HF_EVALUATE_OFFLINE", True)
    monkeypatch.setattr(evaluate.config, "HF_EVALUATE_CACHE", tmp_path / "evaluate")
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", tmp_path / "metrics")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def refuse(*_: object) -> None:
        raise ConnectionError("off-line")

    monkeypatch.setattr("socket.socket.connect", refuse)


def script(tmp_path: Path, returned: str = RIGHT, *, name: str = "share") -> str:
    folder = tmp_path / name
    folder.mkdir()
    (folder / f"{name}.py").write_text(SCRIPT.replace("RETURNED", returned), "utf-8")
    return str(folder)


def outcomes(predictions: list[int]) -> ClassOutcomes:
    labels = np.asarray([0, 1, 1, 0])
    return ClassOutcomes(np.asarray(["a", "b", "c", "d"]), labels, np.asarray(predictions), ("no", "yes"))


def test_it_is_what_evaluate_computes(tmp_path: Path) -> None:
    metric = make_hub_metric("share", path=script(tmp_path))
    assert float(metric.statistic(outcomes([0, 1, 0, 0]), np.ones(4))) == 0.75


def test_it_is_judged_without_an_interval(tmp_path: Path) -> None:
    metric = make_hub_metric("share", path=script(tmp_path))
    judged = judge_quality(metric, outcomes([0, 1, 1, 0]), outcomes([0, 1, 0, 0]), [])
    assert (judged.drop_points, judged.interval, judged.verdict) == (25.0, None, None)
    line = "x: share 0.750 vs 1.000, drop 25.0 points (n=4): not gated"
    assert format_message("x", judged) == line


def test_a_budget_on_it_cannot_be_judged(tmp_path: Path) -> None:
    metric = make_hub_metric("share", path=script(tmp_path))
    same = outcomes([0, 1, 1, 0])
    with pytest.raises(SuiteError, match=r"^share has no interval .* reported and cannot have a budget$"):
        judge_quality(metric, same, same, [QualityBudget("drop_points", 2.0)])


def test_it_refuses_to_be_resampled(tmp_path: Path) -> None:
    metric = make_hub_metric("share", path=script(tmp_path))
    with pytest.raises(MeasureError, match="cannot be resampled"):
        metric.statistic(outcomes([0, 1, 1, 0]), np.asarray([2.0, 0.0, 1.0, 1.0]))


@pytest.mark.parametrize(
    ("name", "returned", "value"),
    [
        ("only", '{"other": 0.5}', 0.5),
        ("named", '{"named": 0.25, "count": 4}', 0.25),
    ],
)
def test_of_several_values_the_one_called_like_the_metric_counts(
    tmp_path: Path, name: str, returned: str, value: float
) -> None:
    metric = make_hub_metric(name, path=script(tmp_path, returned, name=name))
    assert float(metric.statistic(outcomes([0, 1, 1, 0]), np.ones(4))) == value


@pytest.mark.parametrize(
    ("name", "returned"),
    [
        ("several", '{"a": 1, "b": 2}'),
        ("infinite", '{"infinite": float("nan")}'),
        ("text", '{"text": "good"}'),
    ],
)
def test_what_is_not_one_number_is_an_error(tmp_path: Path, name: str, returned: str) -> None:
    metric = make_hub_metric(name, path=script(tmp_path, returned, name=name))
    with pytest.raises(MeasureError, match=f"^{name} gave .* expected one finite number, called {name}"):
        metric.statistic(outcomes([0, 1, 1, 0]), np.ones(4))


def test_a_script_that_breaks_is_one_line(tmp_path: Path) -> None:
    metric = make_hub_metric("broken", path=script(tmp_path, "1 / 0", name="broken"))
    with pytest.raises(MeasureError, match=r"^broken: ZeroDivisionError: division by zero$"):
        metric.statistic(outcomes([0, 1, 1, 0]), np.ones(4))


def test_a_metric_that_is_not_cached_is_one_clear_error_offline() -> None:
    metric = load_metric("hub:no-such-metric-of-ours")
    with pytest.raises(
        MeasureError, match=r"^hub:no-such-metric-of-ours: .* hub cannot be reached; load it once"
    ):
        metric.statistic(outcomes([0, 1, 1, 0]), np.ones(4))


def test_a_suite_measures_it_and_refuses_a_budget_on_it(bench: Path, suite_text: str) -> None:
    measured = suite_text.replace('metrics = ["accuracy"]', 'metrics = ["accuracy", "hub:mauve"]')
    (bench / "x.toml").write_text(measured, "utf-8")
    assert load_suite(bench / "x.toml").metrics == ("accuracy", "hub:mauve")
    budget = measured.replace("accuracy = {", '"hub:mauve" = {')
    (bench / "x.toml").write_text(budget, "utf-8")
    with pytest.raises(SuiteError, match=r"hub:mauve.*: hub:mauve has no interval .* cannot have a budget$"):
        load_suite(bench / "x.toml")
