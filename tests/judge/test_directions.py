"""The direction of a metric by its name: known, or nobody's guess."""

from __future__ import annotations

import pytest

from slimgate.errors import SuiteError
from slimgate.judge.metrics import load_metric
from slimgate.judge.named_scores import find_known_direction
from slimgate.judge.scores import load_score


@pytest.mark.parametrize(
    "metric",
    [
        *(
            "acc",
            "acc_norm",
            "acc,none",
            "exact_match",
            "exact_match,strict-match",
            "f1",
            "f1_macro",
            "rouge1",
        ),
        *(
            "rougeL",
            "pass@1",
            "maj@8",
            "recall_at_10",
            "ndcg@10",
            "quasi_prefix_exact_match",
            "answer",
        ),
        *("Faithfulness", "Contextual Precision", "match", "labels_f1_micro"),
        *("recall.success", "exact-match", "f1-score"),
        *("Faithfulness.score", "my_scorer.accuracy", "choice.score"),
    ],
)
def test_a_known_name_is_better_when_higher(metric: str) -> None:
    assert find_known_direction(metric) is True


@pytest.mark.parametrize(
    "metric",
    [
        "perplexity",
        "word_perplexity",
        "bits_per_byte",
        "brier_score",
        "wer",
        "error_rate",
        "log_loss",
        "wer.score",
    ],
)
def test_a_known_name_is_better_when_lower(metric: str) -> None:
    assert find_known_direction(metric) is False


@pytest.mark.parametrize(
    "metric",
    [
        *(
            "toxicity",
            "hallucination",
            "refusal_rate",
            "cost",
            "latency_s",
            "toxicity_score",
            "answer_length",
        ),
        *("jailbreak.success", "bias.passed", "1-acc", "(1 - f1)", "-log_loss", "\u0394acc", "acc\u2193"),
        *("score", "toxicity.score", "refusal.pattern", "my_scorer.answer", ".score.toxicity"),
        *("not_correct", "incorrect", "error_f1", "accuracy_drop", "Bias", "my_metric", "", "12", "rate"),
    ],
)
def test_no_name_beyond_the_list_is_guessed(metric: str) -> None:
    assert find_known_direction(metric) is None


def rude(answer: str, _reference: str | None) -> float:
    return float("!" in answer)


def wer(answer: str, reference: str | None) -> float:
    return float(answer != reference)


def polite(answer: str, _reference: str | None) -> float:
    return float("please" in answer)


polite.higher_is_better = True  # type: ignore[attr-defined]


def test_a_score_of_ones_own_says_its_direction() -> None:
    assert load_score(f"{__name__}:polite", {}).name == f"{__name__}:polite"
    assert load_metric(f"{__name__}:polite").higher_is_better
    assert not load_metric(f"{__name__}:wer").higher_is_better
    with pytest.raises(SuiteError, match=r"function, write rude\.higher_is_better = True, or False"):
        load_score(f"{__name__}:rude", {})
