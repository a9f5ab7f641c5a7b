"""Predicts a model's answers as another processor would give them, with some instructions missing.

Without VNNI the int8 products of oneDNN and ONNX Runtime add pairs of products in 16 bits, which saturate
(pytorch#103646, onnxruntime#6004, #5849). An environment variable makes oneDNN leave instructions out. So for
PyTorch and OpenVINO, a separate process answers as another processor would. ONNX Runtime has no such switch:
the model's int8 steps are built again with `reduce_range`, whose 7-bit weights cannot saturate.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from slimgate._system.processor import list_cpu_instructions
from slimgate._system.worker import run_worker
from slimgate.errors import DataError, MeasureError
from slimgate.outcomes import Outcomes
from slimgate.record.outcome_files import read_outcomes
from slimgate.run.run import RunOptions, SuiteRun
from slimgate.runtimes.cascade import KIND as CASCADE
from slimgate.suite.suite import Suite, Variant

if TYPE_CHECKING:
    from pydantic import BaseModel

REQUEST, ANSWERS = "request.json", "outcomes.parquet"
_WORKER = "slimgate.run.portability_worker"
_PATIENCE_SECONDS = 3600.0
_REDUCE = "reduce_range"
# The highest level that oneDNN may use, the instructions that it then leaves out, and a name for people.
_LEVELS = (
    ("AVX512_CORE_VNNI", {"amx_int8", "avx512_bf16"}, "AVX-512 with VNNI, without AMX and bfloat16"),
    ("AVX512_CORE", {"avx512_vnni"}, "AVX-512 without VNNI"),
    ("AVX2", {"avx512f", "avx_vnni"}, "AVX2 alone"),
)


@dataclass(frozen=True)
class Setting:
    """The setting under which a model answers again.

    name: for people; environment: of the process that answers; reduced: its int8 steps are built again, with
    7-bit weights.
    """

    name: str
    environment: Mapping[str, str]
    reduced: bool = False


def list_settings(run: SuiteRun, name: str, instructions: list[str] | None = None) -> list[Setting]:
    """The settings that are possible for a model. instructions: of the processor; None: of this one.

    Raises DataError if there are none: the processor has only the lowest level, the ONNX Runtime model has no
    int8 step that can be built with 7-bit weights, or another library computes the answers.
    """
    runtime = run.suite.model(name).runtime
    if run.build(name).artifact.kind == "onnx":
        if not _narrow_variants(run.suite, name):
            raise DataError(
                f"{run.suite.shown}: {name}: ONNX Runtime cannot leave instructions out, and no step of "
                f"{name} has {_REDUCE} = false, which a second build would set to true"
            )
        return [Setting(f"built again with {_REDUCE} = true", {}, reduced=True)]
    if not runtime.object.obeys_onednn:
        raise DataError(
            f"{run.suite.shown}: {name}: its runtime {runtime.name} cannot leave instructions out, so this "
            "processor cannot answer as another one does; run the suite on a machine of the other kind"
            + ("; or check each model of the cascade" if runtime.name == CASCADE else "")
        )
    has = set(list_cpu_instructions() if instructions is None else instructions)
    settings = [
        Setting(f"{words} (ONEDNN_MAX_CPU_ISA={level})", {"ONEDNN_MAX_CPU_ISA": level})
        for level, without, words in _LEVELS
        if has & without
    ]
    if not settings:
        raise DataError(
            f"{run.suite.shown}: this processor has no instructions that could be left out "
            f"({' '.join(sorted(has)) or 'none known'}); run it on one with AVX-512 or AVX-VNNI"
        )
    return settings


def predict_under(run: SuiteRun, name: str, setting: Setting) -> Outcomes:
    """The model's answers to the gate rows under a setting. Raises MeasureError if the process fails."""
    if setting.reduced:
        narrowed = replace(run.suite, variants={**run.suite.variants, **_narrow_variants(run.suite, name)})
        options = RunOptions(watch=run.watch)
        return SuiteRun(narrowed, run.store, device=run.device, options=options).measure_outcomes(name)
    request = {
        "suite": str(run.suite.path),
        "shown": run.suite.shown,
        "store": str(run.store.root),
        "model": name,
    }
    with (
        tempfile.TemporaryDirectory(prefix="slimgate-portability-") as scratch,
        run.watch.stage(f"{name} · gate rows under {setting.name}"),
    ):
        folder = Path(scratch)
        (folder / REQUEST).write_text(json.dumps(request), "utf-8")
        ended = run_worker(_WORKER, folder, limit=_PATIENCE_SECONDS, environment=setting.environment)
        if ended.code != 0:
            reason = "it took more than an hour" if ended.code is None else ended.message
            raise MeasureError(f"{name}: the process that answers under {setting.name} failed: {reason}")
        return read_outcomes(folder / ANSWERS)


def _narrow_variants(suite: Suite, name: str) -> dict[str, Variant]:
    """The variants that a model is built from, with 7-bit weights in each step that supports this."""
    narrowed: dict[str, Variant] = {}
    ancestor: str | None = name
    while ancestor is not None and ancestor in suite.variants:
        variant = suite.variants[ancestor]
        steps = tuple(replace(step, params=_narrow_params(step.params)) for step in variant.steps)
        if steps != variant.steps:
            narrowed[ancestor] = replace(variant, steps=steps)
        ancestor = variant.parent
    return narrowed


def _narrow_params(params: BaseModel) -> BaseModel:
    fields = type(params).model_fields
    return params.model_copy(update={_REDUCE: True}) if _REDUCE in fields else params
