"""Figures of `slimgate judge` on files of tools, beside those of other programs on the same scores."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import norm, ttest_rel
from support.judge_command import Judge
from support.lm_eval_logs import TIME, write_lm_eval

Z = norm.ppf(0.95)


def read_facts(out: str, metric: str) -> dict[str, Any]:
    (judged,) = json.loads(out).values()
    facts: dict[str, Any] = judged["quality"][metric]
    return facts


def write_table(file: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return file


def compute_score_z(lost: int, won: int, n: int, drop: float) -> float:
    """The score statistic of a paired drop; its likelihood is maximized by scipy and not by a formula."""

    def minus_log_likelihood(share_won: float) -> float:
        same = 1 - 2 * share_won - drop
        return -float(
            lost * np.log(share_won + drop) + won * np.log(share_won) + (n - lost - won) * np.log(same)
        )

    least, largest = max(0.0, -drop), (1 - drop) / 2
    best = minimize_scalar(
        minus_log_likelihood,
        bounds=(least + 1e-12, largest - 1e-12),
        method="bounded",
        options={"xatol": 1e-14},
    )
    variance = n * (2 * best.x + drop - drop**2)
    return float((lost - won - n * drop) / np.sqrt(variance))


def test_an_interval_of_lm_eval_inverts_the_score_test_of_scipy(judge: Judge, tmp_path: Path) -> None:
    mean = pytest.importorskip("lm_eval.api.metrics", reason="the extra lm-eval").mean

    n, lost, won = 900, 47, 31
    base = np.repeat([1.0, 0.0, 1.0, 0.0], [lost, won, 600, n - 600 - lost - won])
    target = np.repeat([0.0, 1.0, 1.0, 0.0], [lost, won, 600, n - 600 - lost - won])
    folders = [
        write_lm_eval(tmp_path / name, {"arc_easy": scores.tolist()})
        for name, scores in (("base", base), ("int4", target))
    ]
    _, out, _ = judge(*folders, "--drop-points", 3, "--json")
    facts = read_facts(out, "arc_easy/acc")
    assert facts["teacher"] == pytest.approx(mean(base.tolist()))
    assert facts["value"] == pytest.approx(mean(target.tolist()))
    expected = [
        100 * brentq(lambda drop, side: compute_score_z(lost, won, n, drop) - side, -0.05, 0.09, args=(side,))
        for side in (Z, -Z)
    ]
    assert facts["interval"] == pytest.approx(expected, abs=1e-3)


def test_an_interval_of_clusters_is_that_of_the_drawn_weights(judge: Judge, tmp_path: Path) -> None:
    """The formula of docs/statistics.md by drawing; and a little wider than the clustered standard error."""
    rng = np.random.default_rng(5)
    sizes = rng.integers(5, 15, 80)
    group = np.repeat(np.arange(len(sizes)), sizes)
    n = len(group)
    base = (rng.random(n) < 0.8).astype(float)
    follows = (rng.random(len(sizes)) < 0.15)[group] & (rng.random(n) < 0.5)
    target = np.where(follows, 0.0, base)
    files = [
        write_table(
            tmp_path / f"{name}.csv",
            ["id", "score", "group"],
            [(f"q{at}", score, f"g{group[at]}") for at, score in enumerate(scores)],
        )
        for name, scores in (("base", base), ("target", target))
    ]
    _, out, _ = judge(*files, "--higher-is-better", "score", "--drop-points", 10, "--json")
    facts = read_facts(out, "score")
    loss = base - target
    sums = np.bincount(group, loss).astype(np.float64)
    low, high = facts["interval"]
    assert high == pytest.approx(100 * draw_bound(sums, sizes, 1.0), abs=0.15)
    assert low == pytest.approx(-100 * draw_bound(-sums, sizes, 1.0), abs=0.15)
    # the clustered error of a mean as statsmodels has it: OLS on a constant, cov_type="cluster"
    residuals = np.bincount(group, loss - loss.mean())
    error = np.sqrt((residuals**2).sum() * len(sizes) / (len(sizes) - 1)) / n
    drop = loss.mean()
    assert high > 100 * (drop + Z * error)
    assert high - 100 * drop < 2 * 100 * Z * error


def draw_bound(
    sums: npt.NDArray[np.float64], sizes: npt.NDArray[np.int64], max_loss: float, draws: int = 100_000
) -> float:
    """The 95 % quantile of a mean with exponential weights and one more unit that lost all."""
    rng = np.random.default_rng(0)
    more = (sizes**3).sum() / (sizes**2).sum()
    weights = rng.exponential(size=(draws, len(sizes) + 1)).astype(np.float32)
    losses = weights @ np.append(sums, more * max_loss).astype(np.float32)
    return float(np.quantile(losses / (weights @ np.append(sizes, more).astype(np.float32)), 0.95))


@pytest.mark.parametrize("k", [1, 3])
def test_pass_at_k_is_the_estimator_of_human_eval(judge: Judge, tmp_path: Path, k: int) -> None:
    def estimate(right: int, answers: int) -> float:
        """As human_eval/evaluation.py of OpenAI has it."""
        if answers - right < k:
            return 1.0
        return 1.0 - float(np.prod(1.0 - k / np.arange(answers - right + 1, answers + 1)))

    rng, answers = np.random.default_rng(3), 8
    right = {name: rng.binomial(answers, rng.beta(1, 1, 60)) for name in ("base", "target")}
    files = [
        write_table(
            tmp_path / f"{name}.csv",
            ["id", "epoch", "score"],
            [
                (f"HumanEval/{at}", epoch + 1, int(epoch < count))
                for at, count in enumerate(counts)
                for epoch in range(answers)
            ],
        )
        for name, counts in right.items()
    ]
    metric = f"pass@{k}"
    _, out, _ = judge(
        *files, "--higher-is-better", "score", "--drop-points", 10, "--metric", metric, "--json"
    )
    facts = read_facts(out, f"score/{metric}")
    for side, name in (("teacher", "base"), ("value", "target")):
        assert facts[side] == pytest.approx(np.mean([estimate(int(count), answers) for count in right[name]]))


def test_a_perplexity_is_that_of_lm_evals_own_functions(judge: Judge, tmp_path: Path) -> None:
    lm_eval = pytest.importorskip("lm_eval.api.metrics", reason="the extra lm-eval")

    rng = np.random.default_rng(4)
    words = rng.integers(40, 900, 120)
    nats = {"base": words * rng.normal(2.9, 0.2, 120)}
    nats["int8"] = nats["base"] + words * rng.normal(0.01, 0.005, 120)
    pairs = {
        name: {
            "word_perplexity": [(-float(loss), int(count)) for loss, count in zip(of, words, strict=True)],
            "bits_per_byte": [(-float(loss), 5 * int(count)) for loss, count in zip(of, words, strict=True)],
        }
        for name, of in nats.items()
    }
    folders = [write_corpus(tmp_path / name, of) for name, of in pairs.items()]
    _, out, _ = judge(*folders, "--drop-points", 5, "--json")
    for metric, figure in (
        ("word_perplexity", lm_eval.weighted_perplexity),
        ("bits_per_byte", lm_eval.bits_per_byte),
    ):
        facts = read_facts(out, f"wikitext/{metric}")
        assert facts["teacher"] == pytest.approx(figure(pairs["base"][metric]))
        assert facts["value"] == pytest.approx(figure(pairs["int8"][metric]))


def write_corpus(folder: Path, pairs: dict[str, list[tuple[float, int]]]) -> Path:
    """wikitext as lm-eval logs it: of each document its log-likelihood, and how many words or bytes."""
    write_lm_eval(folder, {"wikitext": [None] * len(pairs["word_perplexity"])}, metric="word_perplexity")
    file = folder / f"samples_wikitext_{TIME}.jsonl"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    for at, row in enumerate(rows):
        row |= {"metrics": [*pairs], **{metric: of[at] for metric, of in pairs.items()}}
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    return folder


def test_scores_of_single_samples_are_near_the_paired_t_test(judge: Judge, tmp_path: Path) -> None:
    """Scores between 0 and 1 without outliers: the bound is that of Student, and never narrower by much."""
    rng, n = np.random.default_rng(6), 1_500
    base = rng.uniform(0.2, 0.9, n).round(3)
    target = (base - 0.01 + rng.normal(0, 0.05, n)).clip(0, 1).round(3)
    files = [
        write_table(
            tmp_path / f"{name}.csv", ["id", "score"], [(f"q{at}", score) for at, score in enumerate(scores)]
        )
        for name, scores in (("base", base), ("target", target))
    ]
    _, out, _ = judge(
        *files, "--higher-is-better", "score", "--drop-points", 5, "--range", "score=0:1", "--json"
    )
    theirs = ttest_rel(base, target).confidence_interval(0.9)
    low, high = read_facts(out, "score")["interval"]
    drop = 100 * (base - target).mean()
    assert low <= 100 * theirs.low + 0.02
    assert high >= 100 * theirs.high - 0.02
    assert high - low < 1.6 * 100 * (theirs.high - theirs.low)
    assert low < drop < high
