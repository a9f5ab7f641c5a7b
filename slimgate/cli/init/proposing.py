"""Proposals for a model and rows: how it learns, which blocks stay, which budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from slimgate._system.processor import cpu_instructions, sums_saturate
from slimgate.cli.init.models import ModelSettings, Standing
from slimgate.judge.budget_kinds import QualityBudget, suited_kinds
from slimgate.judge.metrics.registry import load_metric
from slimgate.judge.outlook import CONVERTED, TRAINED, drop_outlook
from slimgate.judge.rows_needed import planned_rows
from slimgate.plugins.task import Task
from slimgate.run.budget_plan import GateGroups, smallest_share
from slimgate.steps.convert.to_ctranslate2 import ENCODER_DECODERS

Json = dict[str, Any]
# More rows cost more time than they are worth; a suite may state more.
MOST_TRAIN, MOST_GATE, MOST_NAMED_GATE = 20_000, 6_000, 10_000
POINTS = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0)
SHARES_ABOVE = (0.005, 0.01, 0.02, 0.05)
# Documents of unequal length count as fewer rows; so it asks for this many times more.
_UNEQUAL = 2.0
# Encoders whose attention onnx_optimize makes one operator.
FUSED_ENCODERS = frozenset({"bert", "distilbert", "electra", "roberta"})
WINDOWS = (16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Budgets:
    """The budgets that are proposed for a metric.

    common, of_int8: tables of a metric; decidable: the rows are known to be enough.
    """

    common: Json
    of_int8: Json
    decidable: bool


def is_by_rows(metric: str) -> bool:
    """Whether each row is right or wrong, so that a plan can compute what the rows decide."""
    return load_metric(metric).per_row is not None


def budgets_for(metric: str, sizes: tuple[int, ...]) -> Budgets:
    """The tightest round budgets that the gate rows decide; if no plan can compute them, usual ones.

    sizes: gate rows of each group. common is for variants that are trained again, which changes more answers.
    """
    if load_metric(metric).documents is not None:
        return Budgets(_growth_budget(0.1, sizes), _growth_budget(0.03, sizes), decidable=False)
    if "drop_points" not in suited_kinds(load_metric(metric)):
        return Budgets({"increase_relative": 0.1}, {"increase_relative": 0.03}, False)
    if not is_by_rows(metric):
        return Budgets({"drop_points": 5.0}, {"drop_points": 3.0}, False)
    common, tight = (_tightest_budget(sizes, changes) for changes in (TRAINED, CONVERTED))
    of_common, of_int8 = ({"drop_points": points or POINTS[-1]} for points in (common, tight))
    return Budgets(of_common, of_int8, decidable=common is not None)


def _growth_budget(limit: float, sizes: tuple[int, ...]) -> Json:
    """A budget on a perplexity.

    It states `above_cap_max` only if the gate rows cannot exclude the judge's default share. Then it is the
    smallest of SHARES_ABOVE that they can exclude, if there is one.
    """
    gate = GateGroups(sizes)

    def is_shown(share: float) -> bool:
        return planned_rows(share, discordance=0.0, sizes=gate.group_sizes) * _UNEQUAL <= gate.rows

    if is_shown(smallest_share(QualityBudget("increase_relative", limit))):
        return {"increase_relative": limit}
    share = next(filter(is_shown, SHARES_ABOVE), None)
    return {"increase_relative": limit, **({} if share is None else {"above_cap_max": share})}


def _tightest_budget(sizes: tuple[int, ...], changes: tuple[float, float]) -> float | None:
    return next((p for p in POINTS if drop_outlook(sizes, p / 100, changes).word == "can decide"), None)


def int8_by_onnx(model: ModelSettings) -> list[Json]:
    """Steps to int8 by ONNX Runtime; empty if it is not installed, or does not fuse the model's graphs.

    If sums of int8 products saturate, weights of 7 bits keep them exact.
    """
    installed = all(find_spec(name) is not None for name in ("onnx", "onnxruntime", "onnxscript"))
    if not installed or model.config.get("model_type") not in FUSED_ENCODERS:
        return []
    narrow = {"reduce_range": True} if sums_saturate(cpu_instructions()) else {}
    return [{"to_onnx": {}}, {"onnx_optimize": {}}, {"onnx_int8_static": {"embeddings": True, **narrow}}]


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
    """The [task] max_tokens that leaves 99 % of the rows uncut, within the model's positions."""
    needed = sorted(tokens)[int(0.99 * (len(tokens) - 1))]
    size_of_window = next((size for size in WINDOWS if size >= needed), WINDOWS[-1])
    return size_of_window if longest is None else min(size_of_window, longest)


def choose_blocks(blocks: int | None) -> list[int] | None:
    """Half of the blocks, with the first and the last, evenly spaced; None if there are too few."""
    if blocks is None or blocks < 2:
        return None
    half = blocks // 2
    return [0] if half == 1 else [round(i * (blocks - 1) / (half - 1)) for i in range(half)]


def choose_blocks_of_model(model: ModelSettings) -> list[int] | Json | None:
    """The blocks for keep_layers: half of them, of both stacks of an encoder-decoder; None: too few."""
    if not model.stacks:
        return choose_blocks(model.blocks)
    halves = {name: half for name, blocks in model.stacks.items() if (half := choose_blocks(blocks))}
    return halves or None


def int8_steps(model: ModelSettings) -> list[Json]:
    """Steps to int8 by the fastest runtime that is installed and takes the model; else empty."""
    if model.encoder_decoder:
        known = model.config.get("model_type") in ENCODER_DECODERS
        installed = find_spec("ctranslate2") is not None
        return [{"to_ctranslate2": {"quantization": "int8"}}] if known and installed else []
    return int8_by_onnx(model)


def learning(model: ModelSettings) -> Json:
    """Options of every training step: wide models learn at smaller steps."""
    narrow = (model.width or 0) <= 512
    return {"epochs": 2, "learning_rate": 2e-4 if narrow else 5e-5}


def pooling(model: ModelSettings, task: Task[Any], standing: Standing) -> str | None:
    """[task] pooling if the model has no usable head: a new one on the mean of the tokens."""
    pooled = task.auto_class is not None and "pooling" in task.Params.model_fields
    return "mean" if pooled and standing != "ready" and not model.causal else None
