"""Proposals for a new suite: splits, max_tokens, pooling, steps, options of training, and budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from slimgate._system.processor import has_saturating_sums, list_cpu_instructions
from slimgate.cli.init.models import ModelSettings, Readiness
from slimgate.judge.budget_kinds import QualityBudget, list_suited_kinds
from slimgate.judge.metrics.registry import load_metric
from slimgate.judge.power import CONVERTED, TRAINED, make_drop_outlook
from slimgate.judge.rows_needed import count_planned_rows
from slimgate.plugins.base import Json
from slimgate.plugins.task import Task
from slimgate.run.budget_plan import GateGroups, compute_smallest_share
from slimgate.steps.convert.to_ctranslate2 import ENCODER_DECODERS

# More rows cost more time than they are worth; a suite may state more.
MOST_TRAIN, MOST_GATE, MOST_NAMED_GATE = 20_000, 6_000, 10_000
MOST_CALIBRATION, MOST_SELECTION = 512, 1_000
POINTS = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0)
SHARES_ABOVE = (0.005, 0.01, 0.02, 0.05)
# Documents of unequal length count as fewer rows, so a budget on a perplexity needs this many times more.
_UNEQUAL = 2.0
# Encoders whose attention onnx_optimize makes one operator.
FUSED_ENCODERS = frozenset({"bert", "distilbert", "electra", "roberta"})
WINDOWS = (16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Budgets:
    """The budgets that are proposed for a metric.

    common: for all variants, which may be trained again. of_int8: for the variant int8, which changes fewer
    answers. decidable: the gate rows are known to be enough for both.
    """

    common: Json
    of_int8: Json
    decidable: bool


def is_share_of_rows(metric: str) -> bool:
    """Whether a metric is the share of rows that are right, so that a plan can compute what rows decide."""
    return load_metric(metric).per_row is not None


def choose_budgets(metric: str, sizes: tuple[int, ...]) -> Budgets:
    """The tightest round budgets that the gate rows can decide; if no plan can compute them, usual ones.

    sizes: the number of gate rows in each group.
    """
    if load_metric(metric).documents is not None:
        return Budgets(_choose_growth_budget(0.1, sizes), _choose_growth_budget(0.03, sizes), decidable=False)
    if "drop_points" not in list_suited_kinds(load_metric(metric)):
        return Budgets({"increase_relative": 0.1}, {"increase_relative": 0.03}, decidable=False)
    if not is_share_of_rows(metric):
        return Budgets({"drop_points": 5.0}, {"drop_points": 3.0}, decidable=False)
    points = [_find_tightest_points(sizes, changes) for changes in (TRAINED, CONVERTED)]
    common, of_int8 = ({"drop_points": limit or POINTS[-1]} for limit in points)
    return Budgets(common, of_int8, decidable=points[0] is not None)


def _choose_growth_budget(limit: float, sizes: tuple[int, ...]) -> Json:
    """A budget on a perplexity.

    It states `above_cap_max` only if the gate rows cannot exclude the judge's default share. Then it is the
    smallest of SHARES_ABOVE that they can exclude, if there is one.
    """
    gate = GateGroups(sizes)

    def is_shown(share: float) -> bool:
        return count_planned_rows(share, discordance=0.0, sizes=gate.group_sizes) * _UNEQUAL <= gate.rows

    if is_shown(compute_smallest_share(QualityBudget("increase_relative", limit))):
        return {"increase_relative": limit}
    share = next(filter(is_shown, SHARES_ABOVE), None)
    return {"increase_relative": limit, **({} if share is None else {"above_cap_max": share})}


def _find_tightest_points(sizes: tuple[int, ...], changes: tuple[float, float]) -> float | None:
    """The smallest of POINTS that the rows can decide; None if there is none.

    changes: the smallest and the largest share of answers that change.
    """
    return next((p for p in POINTS if make_drop_outlook(sizes, p / 100, changes).word == "can decide"), None)


def list_onnx_int8_steps(model: ModelSettings) -> list[Json]:
    """Steps to int8 by ONNX Runtime; empty if it is not installed, or does not fuse the model's graphs.

    If sums of int8 products saturate, weights of 7 bits keep them exact.
    """
    is_installed = all(find_spec(name) is not None for name in ("onnx", "onnxruntime", "onnxscript"))
    if not is_installed or model.config.get("model_type") not in FUSED_ENCODERS:
        return []
    narrow = {"reduce_range": True} if has_saturating_sums(list_cpu_instructions()) else {}
    return [{"to_onnx": {}}, {"onnx_optimize": {}}, {"onnx_int8_static": {"embeddings": True, **narrow}}]


def choose_split_sizes(parts: Mapping[str, int]) -> Json:
    """The [task] splits. parts: the number of rows of each part of the source, such as "train" or "all"."""
    rows = parts.get("train", parts.get("all", 0))
    sizes: Json = {
        "calibration": max(1, min(MOST_CALIBRATION, rows // 20)),
        "selection": max(1, min(MOST_SELECTION, rows // 10)),
        "gate": min(MOST_GATE, max(1, rows * 2 // 5)),
    }
    train = rows - sum(size for name, size in sizes.items() if name not in parts)
    largest = {"calibration": MOST_CALIBRATION, "selection": MOST_SELECTION, "gate": MOST_NAMED_GATE}
    named = {name: _choose_size(parts[name], size) for name, size in largest.items() if name in parts}
    confirm = {"confirm": "rest"} if "confirm" in parts else {}
    return {"train": _choose_size(train, MOST_TRAIN), **sizes, **named, **confirm}


def _choose_size(rows: int, largest: int) -> int | str:
    return "rest" if rows <= largest else largest


def choose_max_tokens(lengths: Sequence[int], longest: int | None) -> int:
    """The smallest of WINDOWS that leaves about 99 % of the rows uncut; the largest if none does.

    lengths: the tokens of each row. longest: the most tokens that the model can read, which is not exceeded.
    """
    needed = sorted(lengths)[int(0.99 * (len(lengths) - 1))]
    window = next((size for size in WINDOWS if size >= needed), WINDOWS[-1])
    return window if longest is None else min(window, longest)


def choose_blocks(blocks: int | None) -> list[int] | None:
    """Half of the blocks, evenly spaced from the first to the last; one block is the first.

    None if there are fewer than two blocks, or it is not known how many.
    """
    if blocks is None or blocks < 2:
        return None
    half = blocks // 2
    return [0] if half == 1 else [round(i * (blocks - 1) / (half - 1)) for i in range(half)]


def choose_blocks_of_model(model: ModelSettings) -> list[int] | Json | None:
    """The blocks for keep_layers: half of them, or half of each stack of an encoder-decoder.

    None if there are too few. A stack that has too few is left out.
    """
    if not model.stacks:
        return choose_blocks(model.blocks)
    halves = {name: half for name, blocks in model.stacks.items() if (half := choose_blocks(blocks))}
    return halves or None


def choose_int8_steps(model: ModelSettings) -> list[Json]:
    """Steps to int8 by CTranslate2 for an encoder-decoder, else by ONNX Runtime.

    Empty if the library is not installed, or does not take the model.
    """
    if model.encoder_decoder:
        is_supported = model.config.get("model_type") in ENCODER_DECODERS
        is_installed = find_spec("ctranslate2") is not None
        return [{"to_ctranslate2": {"quantization": "int8"}}] if is_supported and is_installed else []
    return list_onnx_int8_steps(model)


def choose_int4_steps(model: ModelSettings) -> list[Json]:
    """Steps to 4 bits for a language model; empty for other models, which are small in int8.

    A scale belongs to 128 weights, as servers expect, or to fewer if 128 does not divide the width.
    """
    if not model.causal:
        return []
    size = next((size for size in (128, 64, 32) if (model.width or 0) % size == 0), 32)
    return [{"gptq": {"bits": 4, "group_size": size}}]


def choose_training_options(model: ModelSettings) -> Json:
    """Options of every training step: a wide model has a smaller learning rate."""
    is_narrow = (model.width or 0) <= 512
    return {"epochs": 2, "learning_rate": 2e-4 if is_narrow else 5e-5}


def choose_pooling(model: ModelSettings, task: Task[Any], readiness: Readiness) -> str | None:
    """The [task] pooling: "mean" for a new head, if the task has one and the model has no usable head."""
    has_pooling = task.auto_class is not None and "pooling" in task.Params.model_fields
    return "mean" if has_pooling and readiness != "ready" and not model.causal else None
