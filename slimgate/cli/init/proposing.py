"""What a suite proposes for a model and rows: how it learns, which blocks stay, which budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slimgate.cli.init.guess import Guess
from slimgate.cli.init.models import ModelFound, Standing
from slimgate.judge.outlook import CONVERTED, TRAINED, drop_outlook

Json = dict[str, Any]
# More rows cost more time than they tell; a suite may state more.
MOST_TRAIN, MOST_GATE, MOST_NAMED_GATE = 20_000, 6_000, 10_000
POINTS = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0)
WINDOWS = (16, 32, 64, 128, 256)
# The budgeted metric of each task, and what else it measures. Of a row that is right or wrong, points.
METRICS = {
    "text_classification": ("accuracy", "f1_macro"),
    "multi_label": ("subset_accuracy", "labels_f1_micro", "labels_f1_macro"),
    "sentence_embedding": ("recall_at_1", "recall_at_10", "mrr"),
    "token_classification": ("tag_accuracy", "span_f1", "span_precision", "span_recall"),
    "text_regression": ("pearson", "spearman", "mse"),
    "sentence_similarity": ("spearman", "pearson"),
    "causal_lm": ("perplexity", "token_accuracy", "bits_per_byte"),
}
BY_ROWS = ("text_classification", "multi_label", "sentence_embedding")


@dataclass(frozen=True)
class Budgets:
    """common, of_int8: tables of the task's first metric; decidable: the rows are known to do."""

    common: Json
    of_int8: Json
    decidable: bool


def budgets_for(kind: str, sizes: tuple[int, ...]) -> Budgets:
    """The tightest round budgets that the gate rows decide; where no plan can tell, usual ones.

    sizes: gate rows of each group. common is for variants that learn again, which change more answers.
    """
    if kind == "causal_lm":
        return Budgets({"increase_relative": 0.1}, {"increase_relative": 0.03}, False)
    if kind not in BY_ROWS:
        return Budgets({"drop_points": 5.0}, {"drop_points": 3.0}, False)
    common, tight = (_tightest(sizes, changes) for changes in (TRAINED, CONVERTED))
    of_common, of_int8 = ({"drop_points": one or POINTS[-1]} for one in (common, tight))
    return Budgets(of_common, of_int8, decidable=common is not None)


def _tightest(sizes: tuple[int, ...], changes: tuple[float, float]) -> float | None:
    return next((p for p in POINTS if drop_outlook(sizes, p / 100, changes).word == "can decide"), None)


def split_sizes(parts: Mapping[str, int]) -> Json:
    """[task] splits. parts: how many rows each part of the source has."""
    rows = parts.get("train", parts.get("all", 0))
    gate: int | str = min(MOST_GATE, max(1, rows * 2 // 5))
    if "gate" in parts:
        gate = "rest" if parts["gate"] <= MOST_NAMED_GATE else MOST_NAMED_GATE
    calibration, selection = max(1, min(512, rows // 20)), max(1, min(1000, rows // 10))
    left = rows - calibration - selection - (gate if isinstance(gate, int) and "gate" not in parts else 0)
    train: int | str = "rest" if left <= MOST_TRAIN else MOST_TRAIN
    return {"train": train, "calibration": calibration, "selection": selection, "gate": gate}


def window(tokens: Sequence[int], longest: int | None) -> int:
    """The [task] max_tokens that leaves 99 % of the rows whole, within what the model has positions for."""
    wanted = sorted(tokens)[int(0.99 * (len(tokens) - 1))]
    found = next((size for size in WINDOWS if size >= wanted), WINDOWS[-1])
    return found if longest is None else min(found, longest)


def kept_blocks(blocks: int | None) -> list[int] | None:
    """Half of the blocks, with the first and the last, evenly; None where there is no half to keep."""
    if blocks is None or blocks < 2:
        return None
    half = blocks // 2
    return [0] if half == 1 else [round(i * (blocks - 1) / (half - 1)) for i in range(half)]


def learning(model: ModelFound) -> Json:
    """Options of every training step: wide models learn at smaller steps."""
    narrow = (model.width or 0) <= 512
    return {"epochs": 2, "learning_rate": 2e-4 if narrow else 5e-5}


def teacher_steps(model: ModelFound, standing: Standing) -> list[Json]:
    """What makes the teacher of the model; nothing where it does the task as it is."""
    return [] if standing == "ready" else [{"fine_tune": learning(model)}]


def distillation(model: ModelFound, kind: str) -> Json:
    """The step by which a student learns from the teacher."""
    if kind.startswith("sentence"):
        options = {"alpha": 0.2, "temperature": 1.0, "mse_weight": 1.0, "batch_size": 64}
    elif kind == "text_regression":
        options = {}
    else:
        options = {"alpha": 0.5, "temperature": 2.0}
    return {"distill": {**options, **learning(model)}}


def pooling(model: ModelFound, guess: Guess, standing: Standing) -> str | None:
    """[task] pooling where the model has no head that serves: a new one on the mean of the tokens."""
    pooled = guess.kind in ("text_classification", "multi_label", "text_regression")
    return "mean" if pooled and standing != "ready" and not model.causal else None
