"""The direction of a metric by its name: known, or nobody's guess."""

from __future__ import annotations

import pytest

from slimgate.judge.metrics.directions import known_direction


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
            "score",
            "answer",
        ),
        *("Faithfulness", "Contextual Precision", "Toxicity.success", "match", "labels_f1_micro"),
    ],
)
def test_a_known_name_is_better_when_higher(metric: str) -> None:
    assert known_direction(metric) is True


@pytest.mark.parametrize(
    "metric",
    ["perplexity", "word_perplexity", "bits_per_byte", "brier_score", "wer", "error_rate", "log_loss"],
)
def test_a_known_name_is_better_when_lower(metric: str) -> None:
    assert known_direction(metric) is False


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
        *("not_correct", "incorrect", "error_f1", "accuracy_drop", "Bias", "my_metric", "", "12", "rate"),
    ],
)
def test_no_name_beyond_the_list_is_guessed(metric: str) -> None:
    assert known_direction(metric) is None
