"""The task sentence_similarity: scores, outcomes and bench/stsb.toml on a folder in the hub's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError
from scipy.stats import spearmanr

from fixtures.models.architectures import write_tiny
from fixtures.models.embeddings import add_pairs
from fixtures.models.hub_layout import write_dataset
from slimgate.errors import DataError
from slimgate.judge.metrics import compute_value, load_metric
from slimgate.plugins.rows import Rows, TaskFacts
from slimgate.run.run import SuiteRun
from slimgate.run.selftest import plant_fault
from slimgate.store.store import Store
from slimgate.suite.reader import load_suite
from slimgate.tasks import sentence_similarity as task

ROOT = Path(__file__).parents[2]
FIVE = task.Params(pair=("a", "b"), score="s", score_range=(0.0, 5.0))
NONE = TaskFacts(())

SUITE = f"""\
[suite]
title = "stand-in: the same suite on made-up sentences and a tiny model"
extends = "{ROOT / "bench/stsb.toml"}"
threads = 1

[task]
source = {{ id = "./sts", config = "stsb" }}
max_tokens = 24
splits = {{ calibration = 32, selection = 32 }}

[teacher]
model = "./teacher"

[variants.three-layers]
steps = [{{ keep_layers = [0, 2] }}, {{ distill = {{ alpha = 0.5, mse_weight = 1.0, epochs = 1 }} }}]

[variants.pca-128]
steps = [{{ truncate_embeddings = {{ dims = 16 }} }}]
"""


def rows_of(scores: list[Any]) -> Rows:
    texts = [f"t{i}" for i in range(len(scores))]
    return Rows(pa.table({"id": texts, "a": texts, "b": texts, "s": scores}))


def test_columns_are_the_pair_and_the_score() -> None:
    assert task.task.columns(FIVE) == ("a", "b", "s")
    assert task.task.text_columns(FIVE) == ("a", "b")
    assert task.task.label_column(FIVE) is None


def test_a_range_rises() -> None:
    with pytest.raises(ValidationError, match="expected \\[lowest, highest\\]"):
        task.Params(pair=("a", "b"), score="s", score_range=(5.0, 0.0))


def test_scores_become_what_cosines_shall_be() -> None:
    targets = task.task.targets(FIVE, rows_of([0.0, 2.5, 5.0]), NONE, None)  # type: ignore[arg-type]
    assert targets.tolist() == [0, 0.5, 1]
    assert targets.dtype == np.float32


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (["high"], "a score is not a number"),
        ([None], "a score is not a number"),
        ([float("nan")], "a score is NaN or infinite"),
        ([1.0, 7.0], r"gate holds scores from 1 to 7, expected 0 to 5; set \[task\] score_range"),
    ],
    ids=["text", "null", "nan", "range"],
)
def test_scores_that_cannot_be_used(scores: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        task.task.facts(FIVE, {"gate": rows_of(scores)})


def test_outcomes_are_cosines_beside_the_gold_scores() -> None:
    scores = np.asarray([[[3, 4], [1, 0]], [[1, 0], [2, 0]]], dtype=np.float32)
    outcomes = task.task.outcomes(NONE, rows_of([2.0, 5.0]), scores, FIVE, None)
    np.testing.assert_allclose(outcomes.values["score"], [0.6, 1.0], rtol=1e-6)
    assert outcomes.values["gold"].tolist() == [0.4, 1.0]
    assert outcomes.given == ("gold",)


def test_a_planted_fault_lowers_the_correlation() -> None:
    random = np.random.default_rng(0)
    gold = random.uniform(0, 5, 300)
    first, angle = np.tile([1.0, 0.0], (300, 1)), (5 - gold) / 5 + 0.1 * random.normal(size=300)
    scores = np.stack([first, np.stack([np.cos(angle), np.sin(angle)], axis=1)], axis=1).astype(np.float32)
    outcomes = task.task.outcomes(NONE, rows_of(gold.tolist()), scores, FIVE, None)
    metric = load_metric("spearman")
    damaged = plant_fault(outcomes, metric, 0.1, seed=0, damage_rows=task.task.with_planted_fault)
    assert compute_value(metric, outcomes) == pytest.approx(
        spearmanr(gold, outcomes.values["score"]).statistic
    )
    assert compute_value(metric, outcomes) - compute_value(metric, damaged) == pytest.approx(0.1, abs=0.02)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    """The suite of the hub on folders in its layout."""
    folder = tmp_path_factory.mktemp("stsb")
    write_dataset(
        folder / "sts", {"train": pairs(160, seed=1), "validation": pairs(60, seed=2)}, config="stsb"
    )
    write_tiny(folder / "teacher", "bert", initializer_range=0.2)
    (folder / "stsb.toml").write_text(SUITE)
    return SuiteRun(load_suite(folder / "stsb.toml", "stsb.toml"), Store(folder / "store"), device="cpu")


def pairs(rows: int, *, seed: int) -> pa.Table:
    """Sentences of tiny.py's words; the score is five times the share of words that two have in common."""
    random = np.random.default_rng(seed)
    words = ["good", "nice", "great", "bad", "awful", "poor", "film", "plot", "actor", "very"]
    first = [random.choice(words, 4, replace=False) for _ in range(rows)]
    second = [
        np.where(random.random(4) < random.random(), sentence, random.choice(words, 4)) for sentence in first
    ]
    scores = [5.0 * len({*a} & {*b}) / 4 for a, b in zip(first, second, strict=True)]
    return pa.table(
        {
            "sentence1": [" ".join(a) for a in first],
            "sentence2": [" ".join(b) for b in second],
            "label": pa.array(scores, pa.float32()),
        }
    )


def test_every_model_of_stsb_gives_finite_correlations(run: SuiteRun) -> None:
    assert len(run.rows.gate) == 60
    values = {}
    for name in ("teacher", "three-layers", "int8", "pca-128", "binary-embeddings"):
        outcomes = run.measure_outcomes(name)
        values[name] = compute_value(load_metric("spearman"), outcomes)
        assert values[name] == pytest.approx(
            spearmanr(outcomes.values["gold"], outcomes.values["score"]).statistic
        )
    assert values["teacher"] > 0.5  # random weights know which words two sentences share
    assert values["int8"] == pytest.approx(values["teacher"], abs=0.05)


def test_the_figures_of_a_variant_say_what_its_index_takes(run: SuiteRun) -> None:
    teacher = run.make_handle("teacher").compared
    by_variant = {
        name: task.task.compare(run.suite.setup.task.params, teacher, run.make_handle(name).compared)[
            "figures"
        ]
        for name in ("int8", "pca-128", "binary-embeddings")
    }
    sizes = {name: figures["bytes_per_embedding"]["variant"] for name, figures in by_variant.items()}
    assert sizes == {"int8": 128, "pca-128": 64, "binary-embeddings": 4}
    assert by_variant["int8"]["bytes_per_embedding"]["teacher"] == 128
    assert by_variant["int8"]["index_mb_per_million"]["variant"] == pytest.approx(128e6 / 1024**2)
    assert by_variant["int8"]["cosine_to_teacher"]["variant"] > 0.98
    assert "cosine_to_teacher" not in by_variant["pca-128"]
    assert 0.5 < by_variant["binary-embeddings"]["cosine_to_teacher"]["variant"] < 1


def test_rows_read_as_pairs_have_a_summary_and_a_score() -> None:
    rows = add_pairs(Rows(pa.table({"id": ["0"], "text": ["good film very nice"], "label": ["pos"]})))
    assert rows.table["summary"].to_pylist() == ["good film very"]
    assert rows.table["score"].to_pylist() == [1.0]
