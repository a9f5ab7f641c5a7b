"""Perplexity, bits per byte and token accuracy: known answers, and what holds for all three."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest

from slimgate.errors import MeasureError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.metrics import compute_value, load_metric
from slimgate.judge.metrics.language_model import SKIPPED
from slimgate.judge.quality import judge_quality
from slimgate.outcomes import Outcomes
from slimgate.results.base import Verdict

NAMES = ("perplexity", "bits_per_byte", "token_accuracy")


def documents(rows: int = 60, seed: int = 0, *, more: float = 0.0) -> Outcomes:
    """Documents of 50 to 400 tokens; more: nats that each token has beyond the others'."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(50, 400, rows).astype(np.float64)
    nats = tokens * (rng.normal(3, 0.3, rows) + more)
    right = np.floor(tokens * rng.uniform(0.2, 0.5, rows))
    values = {"nats": nats, "tokens": tokens, "right_tokens": right, "bytes": np.ceil(4.2 * tokens)}
    return Outcomes(np.arange(rows).astype(np.str_), values=values, given=("bytes",))


def two(nats: list[float], tokens: list[int], right: list[int], size: list[int]) -> Outcomes:
    columns = {"nats": nats, "tokens": tokens, "right_tokens": right, "bytes": size}
    values = {name: np.asarray(column, dtype=np.float64) for name, column in columns.items()}
    return Outcomes(np.array(["a", "b"]), values=values, given=("bytes",))


def test_known_answers() -> None:
    outcomes = two([6.0, 2.0], [3, 1], [1, 1], [8, 8])
    assert compute_value(load_metric("perplexity"), outcomes) == pytest.approx(exp(8 / 4))
    assert compute_value(load_metric("token_accuracy"), outcomes) == pytest.approx(2 / 4)
    assert compute_value(load_metric("bits_per_byte"), outcomes) == pytest.approx(8 / log(2) / 16)


def test_guessing_has_a_perplexity_of_the_vocabulary() -> None:
    outcomes = two([5 * log(1000), 7 * log(1000)], [5, 7], [0, 0], [20, 30])
    assert compute_value(load_metric("perplexity"), outcomes) == pytest.approx(1000)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_repeated_rows_in_any_order_and_scale(name: str) -> None:
    metric, outcomes = load_metric(name), documents()
    weights = np.random.default_rng(1).integers(0, 4, len(outcomes)).astype(np.float64)
    repeated = outcomes.take(np.repeat(np.arange(len(outcomes)), weights.astype(int)))
    value = float(metric.statistic(outcomes, weights))
    assert value == pytest.approx(compute_value(metric, repeated))
    assert value == pytest.approx(
        float(metric.statistic(outcomes.take(np.arange(60)[::-1]), 3 * weights[::-1]))
    )
    assert metric.statistic(outcomes, np.stack([weights, weights])).tolist() == pytest.approx([value] * 2)


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_are_an_error(name: str) -> None:
    with pytest.raises(MeasureError, match="no rows"):
        load_metric(name).statistic(documents().take(np.array([], dtype=np.int64)), np.ones(0))


@pytest.mark.parametrize(("rows", "verdict"), [(60, Verdict.INCONCLUSIVE), (1000, Verdict.PASS)])
def test_token_accuracy_of_many_equal_documents_passes_a_point(rows: int, verdict: Verdict) -> None:
    """Of 60 documents a variant may lose one in 60 wholly, 1.7 points, and show it in none of them."""
    same = documents(rows)
    judged = judge_quality(load_metric("token_accuracy"), same, same, [QualityBudget("drop_points", 1.0)])
    assert judged.drop_points == 0
    assert judged.verdict is verdict, judged


def test_bits_per_byte_a_tenth_higher_fails_two_hundredths() -> None:
    worse = documents(more=0.3)
    judged = judge_quality(
        load_metric("bits_per_byte"), documents(), worse, [QualityBudget("increase_relative", 0.02)]
    )
    assert judged.value / judged.teacher == pytest.approx(1.1, abs=0.01)
    assert judged.verdict is Verdict.FAIL, judged


@pytest.mark.parametrize("name", ["perplexity", "token_accuracy"])
def test_models_with_other_tokens_are_compared_by_bytes(name: str) -> None:
    teacher = documents()
    tokens = teacher.column("tokens").copy()
    tokens[:7] += 1
    variant = Outcomes(teacher.ids, values={**teacher.values, "tokens": tokens}, given=("bytes",))
    with pytest.raises(MeasureError, match=r"different tokens on 7 of 60 rows, .* such as bits_per_byte"):
        judge_quality(load_metric(name), teacher, variant, [])
    assert judge_quality(load_metric("bits_per_byte"), teacher, variant, []).drop_points == 0


def test_bits_of_other_parts_of_a_text_are_not_compared() -> None:
    teacher = documents()
    other_tokens = {**teacher.values, "tokens": teacher.column("tokens") - 1}
    skipped = (np.arange(len(teacher)) < 7).astype(np.float64)
    variant = Outcomes(teacher.ids, values={**other_tokens, SKIPPED: skipped}, given=("bytes",))
    with pytest.raises(
        MeasureError, match=r"^bits_per_byte: .* on 7 of 60 rows not .* add_bos = true, and a"
    ):
        judge_quality(load_metric("bits_per_byte"), teacher, variant, [])
    same_tokens = Outcomes(teacher.ids, values={**teacher.values, SKIPPED: skipped}, given=("bytes",))
    assert judge_quality(load_metric("bits_per_byte"), same_tokens, same_tokens, []).drop_points == 0
