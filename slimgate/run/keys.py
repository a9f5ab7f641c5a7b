"""What each stored thing depends on: the keys of the store, and the digests of results that a record carries.

A function for each of them; its docstring lists the inputs. No other module composes a key. Three rules:

- Every file of a model's folder counts, unless its name is in `contents.NEVER_COUNTS`.
- Code counts with all that it imports: slimgate's and a user's modules by their code, installed distributions
  by their versions, with what they require (`code_digest`).
- An option that names a file or a folder counts by what is in it.

So what nobody thought of counts. Too much may be made again, and nothing old is taken for new.
"""

from __future__ import annotations

import json
import os
import pkgutil
import platform
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

import slimgate
from slimgate._system.digests import (
    code_digest,
    file_sha256,
    folder_digest,
    json_digest,
    own_code_digest,
    versions,
)
from slimgate._system.processor import describe_processor
from slimgate.errors import DataError
from slimgate.loading import installed_plugins, module_of
from slimgate.models.saved_weights import stored_dtype
from slimgate.protocols import CONFIRM, GATE, Arrays, ModelRef, Workload
from slimgate.record.results import SINCE
from slimgate.record.run_verdict import CONFIRMED, SELF_TEST
from slimgate.run import contents
from slimgate.runtimes.endpoint import EndpointTable, StartedEndpoint
from slimgate.store.artifact import Artifact
from slimgate.store.store import Json, files_of
from slimgate.suite.suite import Suite, SuiteRuntime, SuiteStep, SuiteTask, TaskSetup, Variant, params_json
from slimgate.suite.tables import CascadeTable

if TYPE_CHECKING:
    from slimgate.run.rows import PreparedRows

# Libraries that compute what every model answers.
PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "safetensors")
# What reads weights that are quantized already.
READERS = ("auto-round", "bitsandbytes", "compressed-tensors", "gguf", "gptqmodel", "torchao")
# Variables of the environment by which libraries compute float32 in fewer bits. Those that only choose among
# kernels for the processor are in `describe_processor`.
ARITHMETIC = (
    "DNNL_DEFAULT_FPMATH_MODE",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)
HELD_OUT = ("calibration", "selection", CONFIRM, GATE)


def to_key(inputs: Json) -> str:
    """The key of what depends on these inputs."""
    return json_digest(inputs)


# Rows


def source_key(setup: TaskSetup) -> Json:
    """The data of a suite, however it is cut into splits. Reads the data.

    - the source: its name, its options, the contents of files that they name, its code
    - its own digest of the rows: the bytes of files, a commit, versions
    - the columns that hold the text and the label
    """
    source, task = setup.source, setup.task
    return {
        "source": source.name,
        "params": params_json(source.params) if ":" in source.name else None,
        "files": contents.option_files(params_json(source.params)),
        "rows": source.object.digest(source.params),
        "text": task.object.text_columns(task.params),
        "label": task.object.label_column(task.params),
        "code": code_digest(module_of(source.object)),
    }


def splits_key(suite: Suite, source: Json | None = None) -> str:
    """The splits of a suite.

    - the data (`source_key`; read now where it is not given)
    - the columns that the task reads, the column of groups, the sizes of the splits, the suite's first seed
    - the code that cuts
    """
    setup = suite.setup
    return to_key(
        {
            **(source_key(setup) if source is None else source),
            "columns": setup.task.object.columns(setup.task.params),
            "group": setup.group,
            "sizes": params_json(setup.sizes),
            "seed": suite.seed,
            "cutting": code_digest("slimgate.data.splits"),
        }
    )


def task_key(task: SuiteTask) -> Json:
    """A task, as far as all models share it. Taken once a run (PreparedRows.task).

    - its name, its options, the contents of files that they name
    - its code, and that of the modules that its options name: scores, a user's own functions
    - of lm-eval's tasks all files in the folders of their YAML files and of what these include
      (Task.folders), with the versions of what their Python files import; their resolved configuration,
      lm-eval's version (Task.environment)
    """
    names = (module_of(task.object), *task.object.code_modules(task.params))
    return {
        "name": task.name,
        "params": params_json(task.params),
        "files": contents.option_files(params_json(task.params)),
        "code": {name: code_digest(name) for name in names},
        "folders": [contents.task_folder(folder) for folder in task.object.folders(task.params)],
        "environment": task.object.environment(task.params),
    }


# Artifacts


def load_key(
    rows: PreparedRows,
    ref: ModelRef,
    *,
    reads: tuple[str, ...],
    graph: str | None,
    packages: tuple[str, ...],
    seed: int,
    device: str,
    precision: str,
) -> Json:
    """A model as it is loaded from its folder.

    - every file of the folder that counts (`contents.model_files`)
    - the task (`task_key`), the classes, the rows that a new head or tokenizer is fitted on, and their seed
      and precision
    - whether the weights are fresh, whether it gets a new head; of weights that are quantized or no float32,
      the format, the dtype, the code and the libraries that read them
    - graph: the module whose code opens a graph
    - the device, versions of libraries (packages: those of its runtime), settings of arithmetic
    """
    fitted = "train" in reads
    key = {
        "fresh": ref.fresh,
        "new_head": ref.new_head,
        "load": contents.model_digest(ref),
        "task": rows.task,
        "classes": list(rows.facts.classes),
        **_common(rows, reads, packages, device),
        "seed": seed if fitted else None,  # nothing is drawn for a model that is complete
        "precision": precision if fitted else None,
        "format": _format_key(ref, fitted=fitted),
    }
    if graph is not None:
        key["graph"] = [ref.kind, code_digest(graph)]
    return key


def endpoint_key(variant: Variant, base: Path) -> Json:
    """A server that answers in place of a model.

    - the URL, the name of the model there; of a server that slimgate starts its command
    - the contents of what that command names (`contents.server_files`)
    - the code and the libraries that ask

    What a server is that slimgate does not start is not known: see `is_unknown_server`.
    base: the folder of the suite.
    """
    params: EndpointTable = variant.runtime.params
    return {
        "endpoint": params_json(params),
        "served": contents.server_files(params, base),
        "code": code_digest(module_of(variant.runtime.object)),
        "versions": dict(versions(variant.runtime.object.packages)),
    }


def is_unknown_server(params: Any) -> bool:
    """Whether nothing is known of what answers: a server that slimgate does not start."""
    return isinstance(params, EndpointTable) and not isinstance(params, StartedEndpoint)


def cascade_key(
    suite: Suite,
    rows: PreparedRows,
    table: CascadeTable,
    artifacts: Sequence[Artifact],
    *,
    reads: tuple[str, ...],
    device: str,
) -> Json:
    """A cascade of models.

    - its table, the artifacts of its models, their runtimes: options, the files that these name, code,
      versions
    - the task, the batches in which the models answer
    - the rows that thresholds are chosen on; the processor where a model's answers depend on it
    - the device, versions of libraries, settings of arithmetic
    """
    runtimes = [suite.model(name).runtime for name in table.models]
    used = {package for one in runtimes for package in one.object.packages}
    packages = tuple(sorted(used | {"scipy"} if reads else used))  # scipy finds weights and temperatures
    key = {
        "cascade": params_json(table),
        "models": [artifact.digest for artifact in artifacts],
        "runtimes": [_runtime_key(one) for one in runtimes],
        "code": code_digest("slimgate.run.cascade"),
        "task": rows.task,
        "batches": [suite.measure.batch_size, suite.measure.batch_tokens],
        **_common(rows, reads, packages, device),
    }
    pairs = zip(runtimes, artifacts, strict=True)
    if reads and any(one.answers_by_processor(artifact.kind) for one, artifact in pairs):
        key["processor"] = processor(suite, device)
    return key


def step_key(
    suite: Suite,
    rows: PreparedRows,
    step: SuiteStep,
    parent: Artifact,
    teachers: Sequence[Artifact],
    *,
    environment: Json,
    seed: int,
    device: str,
    precision: str | None,
) -> Json:
    """What a step makes of a model.

    - the artifact before it, those of the models that it learns from
    - the step: its name, its options, the contents of files that they name, its code and that of the modules
      and functions that it names
    - the rows that it reads, files of further rows, and what is held out where it adds rows; then the task
    - environment: what it says that it depends on outside of slimgate, such as a script (Step.environment)
    - the seed where it is stochastic, the precision, the processor where it says so
    - the device, versions of libraries (also those that it declares), settings of arithmetic
    """
    method, params = step.object, params_json(step.params)
    modules = (module_of(method), *method.code_modules)
    key = {
        "parent": parent.digest,
        "method": step.name,
        "params": params,
        "option_files": contents.option_files(params),
        "code": {name: code_digest(name) for name in modules},
        "teacher": teachers[0].digest if teachers else None,
        "task": rows.task if step.reads else None,
        "precision": precision,
        **_common(rows, step.reads, method.packages, device),
        "seed": seed if method.stochastic else None,
        "environment": environment,
    }
    if teachers[1:]:
        key["more_teachers"] = [teacher.digest for teacher in teachers[1:]]
    if step.row_files:
        key["files"] = [file_sha256(path) for path in step.row_files]
    if step.functions:
        key["functions"] = {name: code_digest(name.partition(":")[0]) for name in step.functions}
    if step.adds_rows:
        key["held_out"] = rows.digests(HELD_OUT)
    if step.builds_by_processor:
        key["processor"] = processor(suite, device)
    return key


def shared_inputs(teacher: Artifact, task: Json, device: str) -> Json:
    """What everything depends on that steps share of one teacher (`shared_key`).

    - the teacher's artifact, the task, the device, versions of libraries, settings of arithmetic
    """
    return {
        "teacher": teacher.digest,
        "task": task,
        "device": device.split(":")[0],
        "versions": dict(versions(PACKAGES)),
        "arithmetic": arithmetic(),
    }


def shared_key(shared: Json, own: Json, fill: Callable[[Path], Json]) -> str:
    """What steps share of one teacher, such as its answers to the rows of a lesson.

    - what all of that depends on (`shared_inputs`)
    - own: what the step says of it: the very inputs of the teacher, options
    - the code that makes it: the module of `fill`
    """
    return to_key({**shared, "own": own, "code": code_digest(fill.__module__)})


def artifact_digest(folder: Path, files: Iterable[str], modules: Iterable[str]) -> str:
    """What tells one artifact from another, however it was made: its files, and the code that runs them.

    files: all of the artifact. modules: whose code runs when it predicts, with what they import.
    """
    return json_digest(
        {"files": folder_digest(folder, files), "code": {name: code_digest(name) for name in modules}}
    )


# Answers, and what is computed of a model once


def answers_key(
    suite: Suite, rows: PreparedRows, artifact: Artifact, runtime: SuiteRuntime, split: str, device: str
) -> str:
    """The outcomes of a model on a split: its answers and their scores.

    - the artifact: all of its files, and the code that runs them
    - the rows of the split, the column of groups, the classes
    - the task with its scores (`task_key`): teacher and variant are scored by the same code and versions
    - the runtime: options, the files that they name, code, versions
    - the batches; the processor where the answers depend on it
    - the code that predicts, the device, versions of libraries, settings of arithmetic
    """
    return to_key(
        {
            "artifact": artifact.digest,
            "group": suite.setup.group,
            "classes": list(rows.facts.classes),
            "task": rows.task,
            "plan": {
                "batch_size": suite.measure.batch_size,
                "batch_tokens": suite.measure.batch_tokens,
                "order": "longest first",
                "padding": "longest",
            },
            "runtime": _runtime_key(runtime),
            "code": [code_digest("slimgate.models.predict"), code_digest("slimgate.data.parts")],
            "processor": processor(suite, device) if runtime.answers_by_processor(artifact.kind) else None,
            **_common(rows, (split,), runtime.object.packages, device),
        }
    )


def teacher_tokens_key(answers: str) -> str:
    """The teacher's likeliest tokens at every place of the gate rows.

    - what its answers depend on (answers: their key), the code that takes the tokens
    """
    return to_key({"answers": answers, "code": _token_code()})


def token_kl_key(teacher: str, answers: str) -> str:
    """A variant's KL from its teacher at every place of the gate rows.

    - teacher: the key of the teacher's tokens
    - what the variant's answers depend on (answers: their key), the code that compares
    """
    return to_key({"teacher": teacher, "answers": answers, "code": _token_code()})


def operations_key(artifact: Artifact, runtime: SuiteRuntime, inputs: Arrays, device: str) -> str:
    """The multiply-adds of one call.

    - the artifact, the inputs of the call
    - the runtime: options, the files that they name, code, versions; all code of slimgate: layers, formulas
    - the device, versions of libraries
    """
    return to_key(
        {
            "artifact": artifact.digest,
            "runtime": _runtime_key(runtime),
            "slimgate": own_code_digest(),
            "inputs": {name: values.tolist() for name, values in inputs.items()},
            "device": device.split(":")[0],
            "versions": dict(versions(PACKAGES)),
        }
    )


def shapes_key(rows: PreparedRows, artifact: Artifact, split: str, row: int, device: str) -> str:
    """The way of one row through a model.

    - the artifact, the rows of the split, the place of the row, the task
    - the code that follows it, the device, versions of libraries, settings of arithmetic
    """
    return to_key(
        {
            "artifact": artifact.digest,
            "row": row,
            "task": rows.task,
            "code": code_digest("slimgate.models.module_outputs"),
            **_common(rows, (split,), (), device),
        }
    )


def duel_key(
    suite: Suite,
    rows: PreparedRows,
    models: Sequence[tuple[Variant, Artifact]],
    workload: Workload,
    split: str,
    machine: Json,
) -> str:
    """The speed-up of a variant that `slimgate tune` has timed.

    - the artifacts of both models, their runtimes: options, the files that they name, code, versions
    - the workload, the rows of the split, the task, the seconds of a duel
    - the machine, the code that times and judges, settings of arithmetic
    """
    return to_key(
        {
            "models": [artifact.digest for _, artifact in models],
            "runtimes": [_runtime_key(one.runtime) for one, _ in models],
            "workload": asdict(workload),
            "rows": rows.digests((split,)),
            "task": rows.task,
            "seconds": suite.measure.max_seconds,
            "machine": machine,
            "arithmetic": arithmetic(),
            "code": [code_digest("slimgate.run.measure.duel"), code_digest("slimgate.judge.speed")],
        }
    )


def tokenizer_key(folder: Path) -> str:
    """Artifacts with the same one share the encoded rows of a run.

    - every file but the weights and slimgate's own notes; of config.json what speaks of tokens, lengths,
      images and labels, so that models of other sizes share them
    - of tokenizer.json not the length to which it last cut: the task says that
    """
    names = [
        name for name in files_of(folder) if not name.endswith(_WEIGHTS) and Path(name).name not in _NOTES
    ]
    return json_digest(
        {name: _settings_digest(folder / name) or file_sha256(folder / name) for name in names}
    )


# Results that a record carries from run to run

KINDS = (
    "quality",
    SINCE,
    CONFIRMED,
    "behaviour",
    "footprint",
    "memory",
    "flops",
    "latency",
    "speedup",
    SELF_TEST,
)
# The results of a model as a whole: of no kind of KINDS.
MODEL = "model"
_JUDGED = frozenset({"quality", SINCE, CONFIRMED, "behaviour", SELF_TEST})
_TIMED = frozenset({"latency", "speedup", SELF_TEST})
# Keys of [measure] and kinds of budgets that only some kinds of results depend on; any other counts for all.
_ONLY_FOR: Mapping[str, frozenset[str]] = {
    "metrics": frozenset({"behaviour", SELF_TEST}),
    "workloads": _TIMED | {"memory"},
    "loads": _TIMED,
    "warmup": _TIMED,
    "rounds": _TIMED,
    "max_seconds": _TIMED,
    "end_to_end": _TIMED,
    "memory": frozenset({"memory"}),
    "quality": frozenset({"quality", CONFIRMED, SELF_TEST}),
    "behaviour": frozenset({"behaviour"}),
    "size": frozenset({"footprint"}),
    "speed": frozenset({"speedup"}),
    "part_speeds": frozenset({"speedup"}),
    "times": frozenset({"latency"}),
    "flops": frozenset({"flops"}),
    "baseline": frozenset({SINCE}),
    "switched_off": frozenset(),
}


def results_keys(suite: Suite, rows: PreparedRows, name: str, models: Mapping[str, str]) -> dict[str, str]:
    """The results of a model in an earlier record, by kind, and of the model alone (`MODEL`).

    - models: the keys of the model's answers and of the teacher's; with correction over variants, of all
    - the splits, slices, seeds and threads of the suite, all code of slimgate, and its distributions
    - of judged results: metrics by their code and versions; the task
    - what [measure] and the budgets say of this kind of result
    """
    common = {
        "slimgate": [own_code_digest(), code_digest("slimgate.judge.quality")],
        "splits": {split: report.digest for split, report in sorted(rows.reports.items())},
        "source": rows.source_digest,
        "task": rows.task,
        "slices": suite.setup.slices,
        "seeds": suite.seeds,
        "threads": suite.threads,
        "teacher": models["teacher"],
        "model": models[name],
        "family": None if suite.family is None else [suite.family, dict(models)],
        "arithmetic": arithmetic(),
    }
    metrics, keys = metrics_key(suite), {MODEL: json_digest(common)}
    for kind in KINDS:
        code = metrics if kind in _JUDGED else {}
        keys[kind] = json_digest({**common, "metrics": code, "settings": _settings(suite, name, kind)})
    return keys


def metrics_key(suite: Suite) -> dict[str, str]:
    """The code of metrics, with the versions of what it imports.

    - all of slimgate's own, together ("hub:NAME" is a metric of the installed version of evaluate)
    - each of a user's own, and of an installed package by the module of its entry point, that is measured or
      has a budget
    """
    tables = (suite.teacher_budgets, *suite.budgets.values())
    budgeted = [
        metric for own in tables for metric in (*own.quality, *own.behaviour.sliced_metrics, *own.baseline)
    ]
    modules = {name: _metric_module(name) for name in (*suite.metrics, *budgeted)}
    package = "slimgate.judge.metrics"
    files = sorted(one.name for one in pkgutil.iter_modules(import_module(package).__path__))
    return {
        package: json_digest([code_digest(f"{package}.{name}") for name in files]),
        **{name: code_digest(module) for name, module in modules.items() if module is not None},
    }


def separation_key(metric: str, answers: Mapping[str, tuple[str | None, Path]]) -> str | None:
    """Which variants of a record can be told apart; None where what a result depends on is not known.

    - the metric
    - answers: of each variant what its quality depends on (`results_keys`), and its file of answers
    """
    if any(inputs is None for inputs, _ in answers.values()):
        return None
    files = {name: file_sha256(file) if file.is_file() else None for name, (_, file) in answers.items()}
    return json_digest([metric, {name: [inputs, files[name]] for name, (inputs, _) in answers.items()}])


def software() -> dict[str, str | None]:
    """What must be the same on all machines of a run, for their keys to be.

    - slimgate's code, Python, the distributions that models are computed with
    """
    return {
        **versions(PACKAGES),
        "python": platform.python_version(),
        "slimgate": f"{slimgate.__version__} ({own_code_digest()[:8]})",
    }


# Parts of keys


def arithmetic() -> Json:
    """Settings by which float32 is computed in fewer bits: variables of the environment, and torch's own."""
    precision = _matmul_precision()
    return {
        **{name: os.environ[name] for name in ARITHMETIC if os.environ.get(name)},
        **({} if precision == "highest" else {"float32_matmul_precision": precision}),
    }


def processor(suite: Suite, device: str) -> str:
    """The processor with the number of threads, for what depends on it."""
    return describe_processor(device, threads=suite.threads)


def check_task(task: SuiteTask, before: Json) -> None:
    """Raises DataError if what the task depends on is not what it was when the run began."""
    for name, value in task_key(task).items():
        if value != before[name]:
            raise DataError(
                f"task {task.name}: its {name} changed during this run, so that models would be scored "
                "by two versions; run again when nothing writes there"
            )


_WEIGHTS = (".safetensors", ".bin", ".onnx", ".data", ".xml", ".pt2", ".gguf", ".so")
_NOTES = ("slimgate.json", "cascade.json", "generation_config.json", "model.safetensors.index.json")
# What of config.json may decide how rows become inputs.
_OF_INPUTS = re.compile(r"model_type|tokenizer|token|vocab|position|length|max_|image|patch|label|prefix")


@cache
def _matmul_precision() -> str:
    """torch's as it was at first: steps of torchao set another one behind them."""
    torch: Any = sys.modules.get("torch")
    return "highest" if torch is None else str(torch.get_float32_matmul_precision())


def _common(rows: PreparedRows, reads: tuple[str, ...], packages: tuple[str, ...], device: str) -> Json:
    return {
        "data": rows.digests(reads),
        "device": device.split(":")[0],
        "versions": dict(versions((*PACKAGES, *packages))),
        "arithmetic": arithmetic(),
    }


def _runtime_key(runtime: SuiteRuntime) -> Json:
    """A runtime: its name, its options, the files that they name, its code, the versions that it declares."""
    params = params_json(runtime.params)
    return {
        "name": runtime.name,
        "params": params,
        "files": contents.option_files(params),
        "code": code_digest(module_of(runtime.object)),
        "versions": dict(versions(runtime.object.packages)),
    }


def _format_key(ref: ModelRef, *, fitted: bool) -> Json:
    """What of a model's format its loaded artifact depends on, beside the files; empty of one in float32.

    fitted: a head is fitted on the model, in float32.
    """
    if ref.stored is not None:
        return {
            "stored": ref.stored,
            "dtype": ref.dtype,
            "code": code_digest("slimgate.models.checkpoint"),
            "readers": dict(versions(READERS)),
        }
    stored = stored_dtype(ref.folder) if ref.folder is not None and not ref.fresh else None
    dtype = ref.dtype or ("float32" if fitted else stored)
    return {} if dtype in (None, "float32") else {"dtype": dtype}


def _token_code() -> list[str]:
    return [code_digest("slimgate.tasks.parts.next_token"), code_digest("slimgate.run.token_kl")]


def _metric_module(name: str) -> str | None:
    """The module of a metric that is not slimgate's own; None of slimgate's."""
    if ":" in name and not name.startswith("hub:"):
        return name.partition(":")[0]
    entries = installed_plugins("metric").get(name)
    return entries[0].value.partition(":")[0] if entries else None


def _settings(suite: Suite, name: str, kind: str) -> Json:
    """What the suite says of [measure] and of budgets that this kind of result depends on."""
    budgets = suite.budgets if kind == SELF_TEST else {name: suite.budgets_of(name)}
    return {
        "measure": _relevant(suite.measure.model_dump(mode="json"), kind),
        "budgets": {of: _relevant(to_jsonable_python(own), kind) for of, own in budgets.items()},
    }


def _relevant(table: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {key: value for key, value in table.items() if kind in _ONLY_FOR.get(key, (kind,))}


def _settings_digest(file: Path) -> str | None:
    """The digest of what counts of a tokenizer.json or config.json; None of another file."""
    if file.name not in ("tokenizer.json", "config.json"):
        return None
    try:
        settings = json.loads(file.read_text("utf-8"))
    except ValueError:
        return None
    if not isinstance(settings, dict):
        return None
    if file.name == "config.json":
        return json_digest({key: value for key, value in settings.items() if _OF_INPUTS.search(key)})
    for key in ("truncation", "padding"):
        settings[key] = (settings.get(key) or {}).get("direction", "Right")
    return json_digest(settings)
