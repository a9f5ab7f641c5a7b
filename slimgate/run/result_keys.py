"""Makes the digests of the inputs of each result, by which a record carries results from run to run."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from slimgate._system.digests import digest_code, digest_json, digest_own_code, file_sha256
from slimgate.errors import SlimgateError
from slimgate.plugins.base import Json
from slimgate.plugins.loading import list_code_modules, list_named_modules, load
from slimgate.plugins.rows import GATE
from slimgate.results.checks import CONFIRMED, MEASUREMENT, QUALITY, SELF_TEST, SINCE, TEACHER
from slimgate.run import keys
from slimgate.run.answering_model import AnsweringModel
from slimgate.run.artifact_maker import ArtifactJob, BuildSettings
from slimgate.run.build import Builder
from slimgate.run.contents import describe_arithmetic
from slimgate.store.store import Artifact, Entry
from slimgate.suite.suite import Suite
from slimgate.suite.variant_budgets import VariantBudgets

if TYPE_CHECKING:
    from slimgate.run.rows import PreparedRows
    from slimgate.run.run import SuiteRun


KINDS = (
    QUALITY,
    SINCE,
    CONFIRMED,
    "behaviour",
    "size",
    "memory",
    "flops",
    MEASUREMENT,
    "latency",
    "speedup",
    SELF_TEST,
)
# The key of a model's results that belong to none of KINDS.
MODEL = "model"
_JUDGED = frozenset({"quality", SINCE, CONFIRMED, "behaviour", SELF_TEST})
_TIMED = frozenset({"latency", "speedup", SELF_TEST})
# Keys of [measure] and kinds of budgets that affect only some kinds of results; all others affect every kind.
_ONLY_FOR: Mapping[str, frozenset[str]] = {
    "metrics": frozenset({"behaviour", SELF_TEST}),
    "workloads": _TIMED | {"memory", MEASUREMENT},
    "loads": _TIMED,
    "warmup": _TIMED,
    "rounds": _TIMED,
    "max_seconds": _TIMED,
    "end_to_end": _TIMED,
    "memory": frozenset({"memory"}),
    "quality": frozenset({"quality", CONFIRMED, SELF_TEST}),
    "behaviour": frozenset({"behaviour"}),
    "size": frozenset({"size"}),
    "speed": frozenset({"speedup"}),
    "part_speeds": frozenset({"speedup"}),
    "times": frozenset({"latency"}),
    "flops": frozenset({"flops"}),
    "measurements": frozenset({MEASUREMENT}),
    "baseline": frozenset({SINCE}),
    "switched_off": frozenset(),
}


def make_results_keys(
    suite: Suite, rows: PreparedRows, name: str, models: Mapping[str, str]
) -> dict[str, str]:
    """The results of a model in an earlier record, by kind, and of the model alone (`MODEL`).

    - models: the keys of the model's and the teacher's answers; with correction over variants, of all models
    - the splits, slices, seeds and threads of the suite, all code of slimgate, and its distributions
    - for judged results: metrics by their code and versions; the task
    - the settings of [measure] and the budgets that affect this kind of result; with correction over
      variants, for metrics the budgets of all gated variants
    """
    common = {
        "slimgate": [digest_own_code(), digest_code("slimgate.judge.quality")],
        "splits": {split: report.digest for split, report in sorted(rows.reports.items())},
        "source": rows.source_digest,
        "task": rows.task,
        "slices": suite.setup.slices,
        "seeds": suite.seeds,
        "threads": suite.threads,
        "teacher": models["teacher"],
        "model": models[name],
        "family": None if suite.family is None else [suite.family, dict(models)],
        "arithmetic": describe_arithmetic(),
    }
    metrics, keys = make_metrics_key(suite), {MODEL: digest_json(common)}
    code = {**dict.fromkeys(_JUDGED, metrics), MEASUREMENT: _digest_measurements(suite, name)}
    for kind in KINDS:
        settings = _select_settings(suite, name, kind)
        keys[kind] = digest_json({**common, "metrics": code.get(kind, {}), "settings": settings})
    return keys


def _digest_measurements(suite: Suite, name: str) -> dict[str, str]:
    """The code of the measurements that a model has budgets on, by module: what is named, and its class."""
    modules = dict.fromkeys(
        module
        for figure in suite.find_budgets(name).measurements
        for module in list_code_modules("measurement", figure, load("measurement", figure))
    )
    return {module: digest_code(module) for module in modules}


def make_metrics_key(suite: Suite) -> dict[str, str]:
    """The code of metrics, with the versions of their imports.

    - all of slimgate's own metrics together ("hub:NAME" is a metric of the installed version of evaluate)
    - each metric of a user or an installed package that is measured or has a budget; a package's metric by
      the module of its entry point
    """
    package = "slimgate.judge.metrics"
    files = sorted(module_info.name for module_info in pkgutil.iter_modules(import_module(package).__path__))
    return {
        package: digest_json([digest_code(f"{package}.{name}") for name in files]),
        **{name: digest_code(module) for name, (module, *_) in _find_named_metrics(suite).items()},
    }


def _find_named_metrics(suite: Suite) -> dict[str, tuple[str, ...]]:
    """Name -> modules of each metric of a user or an installed package that is measured or has a budget."""
    tables = (suite.teacher_budgets, *suite.budgets.values())
    budgeted = [
        metric
        for budgets in tables
        for metric in (*budgets.quality, *budgets.behaviour.sliced_metrics, *budgets.baseline)
    ]
    return {
        name: modules
        for name in (*suite.metrics, *budgeted)
        if (modules := list_named_modules("metric", name))
    }


def list_judging_modules(suite: Suite) -> set[str]:
    """The modules of the metrics and measurements that users have written, or installed packages."""
    metrics = (module for modules in _find_named_metrics(suite).values() for module in modules)
    measurements = (module for name in suite.models for module in _digest_measurements(suite, name))
    return {*metrics, *measurements}


def make_separation_key(metric: str, answers: Mapping[str, tuple[str | None, Path]]) -> str | None:
    """The comparison of a record's variants with each other; None if the inputs of a result are unknown.

    - the metric
    - answers: for each variant the digest of its quality (`make_results_keys`), and its file of answers
    """
    if any(inputs is None for inputs, _ in answers.values()):
        return None
    files = {name: file_sha256(file) if file.is_file() else None for name, (_, file) in answers.items()}
    return digest_json([metric, {name: [inputs, files[name]] for name, (inputs, _) in answers.items()}])


def _select_settings(suite: Suite, name: str, kind: str) -> Json:
    """The settings of [measure] and of budgets that affect this kind of result."""
    budgets = suite.budgets if kind == SELF_TEST else {name: suite.find_budgets(name)}
    settings = {
        "measure": _select_relevant(suite.measure.model_dump(mode="json"), kind),
        "budgets": _select_budgets(budgets, kind),
    }
    if suite.family is not None and kind == QUALITY:  # whether a budget passes depends on all of them
        gated = {other: suite.budgets[other] for other, variant in suite.variants.items() if variant.gated}
        settings["family"] = _select_budgets(gated, kind)
    return settings


def _select_budgets(budgets: Mapping[str, VariantBudgets], kind: str) -> Json:
    """By variant the budgets that affect this kind of result."""
    return {
        variant: _select_relevant(to_jsonable_python(variant_budgets), kind)
        for variant, variant_budgets in budgets.items()
    }


def _select_relevant(table: Mapping[str, object], kind: str) -> dict[str, Any]:
    return {key: value for key, value in table.items() if kind in _ONLY_FOR.get(key, (kind,))}


# By kind of result. A variant that cannot be built has no digest, so none of its results are carried over.
Digests = Mapping[str, str]


class KeyBuilder(Builder):
    """A builder that builds nothing: the key of an artifact takes the place of the artifact."""

    def _make_artifact(self, job: ArtifactJob) -> Artifact:
        digest = digest_json(job.key)
        # answers of an unknown kind count as this processor's, and so do the results of a record
        return Artifact(Entry(Path(digest), {"digest": digest, "kind": "unknown"}, from_store=False))


def digest_inputs(run: SuiteRun, *, threads: int) -> dict[str, Digests]:
    """The digests of the teacher and every variant; empty if the model or the teacher cannot be built.

    threads: the suite's. A process of xdist runs with a part of them, and its digests must be the same.
    """
    suite = replace(run.suite, threads=threads)
    models = _make_answer_keys(suite, run)
    if TEACHER not in models:
        return {name: {} for name in suite.models}
    return {
        name: make_results_keys(suite, run.rows, name, models) if name in models else {}
        for name in suite.models
    }


def _make_answer_keys(suite: Suite, run: SuiteRun) -> dict[str, str]:
    """For each model the key under which its answers to the gate rows would be stored."""
    builder = KeyBuilder(suite, run.rows, run.store, BuildSettings(run.device))
    answer_keys = {}
    for name in suite.models:
        try:
            artifact = builder.build(name).artifact
        except SlimgateError:  # its own tests say why
            continue
        model = AnsweringModel(suite, run.rows, artifact, suite.model(name).runtime, run.device)
        answer_keys[name] = keys.make_answers_key(model, GATE)
    return answer_keys
