"""Makes the keys of the store and the digests of results in a record, from everything that they depend on.

There is one function for each key; its docstring lists the inputs. Only `result_keys` makes other keys, of
the results that a record carries from run to run. Three rules:

- Every file of a model's folder counts, unless its name is in `contents.NEVER_COUNTS`.
- Code counts with all its imports: slimgate's and a user's modules by their code, installed distributions by
  their versions, with their requirements (`digest_code`).
- An option that names a file or a folder counts by the content.

So unexpected inputs count too. Some things are made again needlessly, but nothing stale is reused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgate._system.digests import (
    digest_code,
    digest_folder,
    digest_json,
    digest_own_code,
    file_sha256,
    read_versions,
)
from slimgate.errors import DataError
from slimgate.outcomes import Ints
from slimgate.plugins.base import Arrays, Json
from slimgate.plugins.loading import list_code_modules
from slimgate.plugins.models import ModelRef
from slimgate.plugins.rows import CONFIRM, GATE
from slimgate.plugins.workloads import Workload
from slimgate.run import contents
from slimgate.run.user_errors import explain_plugin_errors
from slimgate.runtimes.endpoint import EndpointTable
from slimgate.store.store import Artifact
from slimgate.suite.cascade_table import CascadeTable
from slimgate.suite.named_plugin import Plugin, SuiteRuntime, SuiteStep, SuiteTask
from slimgate.suite.suite import Suite, TaskSetup, Variant, dump_params

if TYPE_CHECKING:
    from slimgate.run.answering_model import AnsweringModel
    from slimgate.run.rows import BuildInputs, PreparedRows

HELD_OUT = ("calibration", "selection", CONFIRM, GATE)


# Rows


def make_source_key(setup: TaskSetup) -> Json:
    """The data of a suite, independent of its splits. Reads the data.

    - the source: its name, its options, the contents of files that they name, its code
    - its own digest of the rows: the bytes of files, a commit, versions
    - the columns that hold the text and the label
    """
    source, task = setup.source, setup.task
    with explain_plugin_errors("source", source.name):
        rows = source.object.digest(source.params)
    if not isinstance(rows, str) or not rows:
        raise DataError(
            f'source "{source.name}": its digest returned {rows!r}, expected a text that changes if the rows '
            "change, such as a sha256; without it the rows of an earlier run would be judged"
        )
    return {
        "source": source.name,
        "params": dump_params(source.params) if ":" in source.name else None,
        "files": contents.digest_option_files(dump_params(source.params)),
        "rows": rows,
        "text": task.object.text_columns(task.params),
        "label": task.object.label_column(task.params),
        "code": _digest_code("source", source),
    }


def make_splits_key(suite: Suite, source: Json | None = None) -> str:
    """The splits of a suite.

    - the data (`make_source_key`; read now if it is not passed in)
    - the columns that the task reads, the column of groups, the sizes of the splits, the suite's first seed
    - the code that cuts
    """
    setup = suite.setup
    return digest_json(
        {
            **(make_source_key(setup) if source is None else source),
            "columns": setup.task.object.columns(setup.task.params),
            "group": setup.group,
            "sizes": dump_params(setup.sizes),
            "seed": suite.seed,
            "cutting": digest_code("slimgate.data.splits"),
        }
    )


def make_task_key(task: SuiteTask) -> Json:
    """The part of a task that all models share. Made once in a run (PreparedRows.task).

    - its name, its options, the contents of files that they name
    - its code (`list_code_modules`), and that of the modules that its options name: scores, a user's own
      functions
    - for lm-eval's tasks all files in the folders of their YAML files and of included files (Task.folders),
      with the versions of their Python files' imports; their resolved configuration, lm-eval's version
      (Task.environment)
    """
    names = (*list_code_modules("task", task.name, task.object), *task.object.code_modules(task.params))
    with explain_plugin_errors("task", task.name):
        environment = contents.read_environment(task.object, task.params)
    return {
        "name": task.name,
        "params": dump_params(task.params),
        "files": contents.digest_option_files(dump_params(task.params)),
        "code": {name: digest_code(name) for name in names},
        "folders": [contents.digest_task_folder(folder) for folder in task.object.folders(task.params)],
        "environment": environment,
    }


# Artifacts


def make_load_key(
    inputs: BuildInputs,
    ref: ModelRef,
    *,
    reads: tuple[str, ...],
    graph: str | None,
    packages: tuple[str, ...],
    precision: str,
) -> Json:
    """A model loaded from its folder.

    - every file of the folder that counts (`contents.list_model_files`)
    - the task (`make_task_key`), the classes, the rows that a new head or tokenizer is fitted on, and their
      seed and precision
    - whether the weights are fresh, whether it gets a new head; for weights that are quantized or not
      float32, the format, the dtype, the code and the libraries that read them
    - graph: the module whose code opens a graph
    - the device, versions of libraries (packages: those of its runtime), settings of arithmetic
    """
    fitted = "train" in reads
    key = {
        "fresh": ref.fresh,
        "new_head": ref.new_head,
        "load": contents.digest_model_files(ref),
        "task": inputs.rows.task,
        "classes": list(inputs.rows.facts.classes),
        **contents.list_common_inputs(inputs.rows, reads, packages, inputs.device),
        "seed": inputs.seed if fitted else None,  # a complete model needs no random numbers
        "precision": precision if fitted else None,
        "format": contents.describe_format(ref, fitted=fitted),
    }
    if ref.stored is not None:
        key["format"]["code"] = digest_code("slimgate.models.checkpoint")
    if graph is not None:
        key["graph"] = [ref.kind, digest_code(graph)]
    return key


def make_endpoint_key(variant: Variant, base: Path) -> Json:
    """A server that answers in place of a model.

    - the URL, the name of the model on the server; the command, if slimgate starts the server
    - the contents of files that the command names (`contents.digest_server_files`)
    - the code and the libraries of the client

    A server that slimgate does not start is unknown (`contents.is_unknown_server`). base: the suite's folder.
    """
    params: EndpointTable = variant.runtime.params
    return {
        "endpoint": dump_params(params),
        "served": contents.digest_server_files(params, base),
        "code": _digest_code("runtime", variant.runtime),
        "versions": dict(read_versions(variant.runtime.object.packages)),
    }


def make_cascade_key(
    inputs: BuildInputs, table: CascadeTable, artifacts: Sequence[Artifact], *, reads: tuple[str, ...]
) -> Json:
    """A cascade of models.

    - its table, the artifacts of its models, their runtimes: options, the files that these name, code,
      versions
    - the task, the batches in which the models answer
    - the rows that thresholds are chosen on; the processor if a model's answers depend on it
    - the device, versions of libraries, settings of arithmetic
    """
    suite, rows, device = inputs.suite, inputs.rows, inputs.device
    runtimes = [suite.model(name).runtime for name in table.models]
    used = {package for runtime in runtimes for package in runtime.object.packages}
    packages = tuple(sorted(used | {"scipy"} if reads else used))  # scipy finds weights and temperatures
    key = {
        "cascade": dump_params(table),
        "models": [artifact.digest for artifact in artifacts],
        "runtimes": [_make_runtime_key(runtime) for runtime in runtimes],
        "code": digest_code("slimgate.run.cascade"),
        "task": rows.task,
        "batches": [suite.measure.batch_size, suite.measure.batch_tokens],
        **contents.list_common_inputs(rows, reads, packages, device),
    }
    pairs = zip(runtimes, artifacts, strict=True)
    if reads and any(runtime.answers_depend_on_processor(artifact.kind) for runtime, artifact in pairs):
        key["processor"] = contents.describe_suite_processor(suite, device)
    return key


def make_step_key(
    inputs: BuildInputs,
    step: SuiteStep,
    parent: Artifact,
    teachers: Sequence[Artifact],
    *,
    environment: Json,
    precision: str | None,
) -> Json:
    """The artifact after a step.

    - the artifact before it, those of the models that it learns from
    - the step: its name, its options, the contents of files that they name, its code
      (`list_code_modules`) and that of the modules and functions that it names
    - the rows that it reads, files of further rows, the held-out splits if it adds rows; then the task
    - environment: the inputs outside of slimgate that it declares, such as a script (Step.environment)
    - the seed if it is stochastic, the precision, the processor if it declares that
    - the device, versions of libraries (also those that it declares), settings of arithmetic
    """
    rows, plugin, params = inputs.rows, step.object, dump_params(step.params)
    modules = (*list_code_modules("step", step.name, plugin), *plugin.code_modules)
    key = {
        "parent": parent.digest,
        "step": step.name,
        "params": params,
        "option_files": contents.digest_option_files(params),
        "code": {name: digest_code(name) for name in modules},
        "teacher": teachers[0].digest if teachers else None,
        "task": rows.task if step.reads else None,
        "precision": precision,
        **contents.list_common_inputs(rows, step.reads, plugin.packages, inputs.device),
        "seed": inputs.seed if plugin.stochastic else None,
        "environment": environment,
    }
    if teachers[1:]:
        key["more_teachers"] = [teacher.digest for teacher in teachers[1:]]
    if step.row_files:
        key["files"] = [file_sha256(path) for path in step.row_files]
    if step.functions:
        key["functions"] = {name: digest_code(name.partition(":")[0]) for name in step.functions}
    if step.adds_rows:
        key["held_out"] = rows.list_digests(HELD_OUT)
    if step.build_depends_on_processor:
        key["processor"] = contents.describe_suite_processor(inputs.suite, inputs.device)
    return key


def list_shared_inputs(teacher: Artifact, task: Json, device: str) -> Json:
    """The common inputs of everything that steps share for one teacher (`make_shared_key`).

    - the teacher's artifact, the task, the device, versions of libraries, settings of arithmetic
    """
    return {"teacher": teacher.digest, "task": task, **contents.describe_platform(device)}


def make_shared_key(shared: Json, step_inputs: Json, fill: Callable[[Path], Json]) -> str:
    """A result that steps share for one teacher, such as its answers to the train rows.

    - the common inputs (`list_shared_inputs`)
    - step_inputs: the inputs that the step lists, such as the rows that the teacher reads, and options
    - the code that makes it: the module of `fill`
    """
    return digest_json({**shared, "own": step_inputs, "code": digest_code(fill.__module__)})


def digest_artifact(folder: Path, files: Iterable[str], modules: Iterable[str]) -> str:
    """Digests an artifact by its files and the code that runs them, independent of how it was made.

    files: all files of the artifact. modules: the modules that run when it predicts; their imports count.
    """
    return digest_json(
        {"files": digest_folder(folder, files), "code": {name: digest_code(name) for name in modules}}
    )


# Answers, and other results that are computed once for each model


def make_answers_key(model: AnsweringModel, split: str) -> str:
    """The outcomes of a model on a split: its answers and their scores.

    - the artifact: all of its files, and the code that runs them
    - the rows of the split, the column of groups, the classes
    - the task with its scores (`make_task_key`): teacher and variant are scored by the same code and versions
    - the runtime: options, the files that they name, code, versions
    - the batches; the processor if the answers depend on it
    - the code that predicts, the device, versions of libraries, settings of arithmetic
    """
    suite, rows, artifact, runtime = model.suite, model.rows, model.artifact, model.runtime
    return digest_json(
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
            "runtime": _make_runtime_key(runtime),
            "code": [digest_code("slimgate.models.predict"), digest_code("slimgate.data.parts")],
            "processor": contents.describe_suite_processor(suite, model.device)
            if runtime.answers_depend_on_processor(artifact.kind)
            else None,
            **contents.list_common_inputs(rows, (split,), runtime.object.packages, model.device),
        }
    )


def make_copy_key(
    model: AnsweringModel, positions: Ints, order: Ints | None, *, seed: int, strength: float | None
) -> str:
    """The outcomes of the self-test's copy of the teacher, on some gate rows.

    - the answers of the teacher (`make_answers_key`), with everything that they depend on; the processor
    - the positions of the rows among the gate rows, and the order in which they are predicted
    - the seed and the strength of the noise, None for a copy without noise; the code that adds it
    """
    return digest_json(
        {
            "answers": make_answers_key(model, GATE),
            "processor": contents.describe_suite_processor(model.suite, model.device),
            "positions": positions.tolist(),
            "order": None if order is None else order.tolist(),
            "seed": seed,
            "strength": strength,
            "code": digest_code("slimgate.run.damaged_layer"),
        }
    )


def make_teacher_tokens_key(answers: str) -> str:
    """The teacher's likeliest tokens at every position of the gate rows.

    - answers: the key of its answers; the code that selects the tokens
    """
    return digest_json({"answers": answers, "code": _digest_token_code()})


def make_token_kl_key(teacher: str, answers: str) -> str:
    """A variant's KL from its teacher at every position of the gate rows.

    - teacher: the key of the teacher's tokens
    - answers: the key of the variant's answers; the code that compares
    """
    return digest_json({"teacher": teacher, "answers": answers, "code": _digest_token_code()})


def make_operations_key(artifact: Artifact, runtime: SuiteRuntime, inputs: Arrays, device: str) -> str:
    """The multiply-adds of one call.

    - the artifact, the inputs of the call
    - the runtime: options, the files that they name, code, versions; all code of slimgate: layers, formulas
    - the device, versions of libraries
    """
    return digest_json(
        {
            "artifact": artifact.digest,
            "runtime": _make_runtime_key(runtime),
            "slimgate": digest_own_code(),
            "inputs": {name: values.tolist() for name, values in inputs.items()},
            "device": device.split(":")[0],
            "versions": dict(read_versions(contents.PACKAGES)),
        }
    )


def make_shapes_key(rows: PreparedRows, artifact: Artifact, split: str, row: int, device: str) -> str:
    """The shapes of one row on its way through a model.

    - the artifact, the rows of the split, the position of the row, the task
    - the code that follows it, the device, versions of libraries, settings of arithmetic
    """
    return digest_json(
        {
            "artifact": artifact.digest,
            "row": row,
            "task": rows.task,
            "code": digest_code("slimgate.models.module_outputs"),
            **contents.list_common_inputs(rows, (split,), (), device),
        }
    )


def make_duel_key(
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
    return digest_json(
        {
            "models": [artifact.digest for _, artifact in models],
            "runtimes": [_make_runtime_key(variant.runtime) for variant, _ in models],
            "workload": asdict(workload),
            "rows": rows.list_digests((split,)),
            "task": rows.task,
            "seconds": suite.measure.max_seconds,
            "machine": machine,
            "arithmetic": contents.describe_arithmetic(),
            "code": [digest_code("slimgate.run.measure.duel"), digest_code("slimgate.judge.speed")],
        }
    )


def _make_runtime_key(runtime: SuiteRuntime) -> Json:
    """A runtime: its name, its options, the files that they name, its code, the versions that it declares."""
    params = dump_params(runtime.params)
    return {
        "name": runtime.name,
        "params": params,
        "files": contents.digest_option_files(params),
        "code": _digest_code("runtime", runtime),
        "versions": dict(read_versions(runtime.object.packages)),
    }


def _digest_code(kind: str, plugin: Plugin[Any]) -> str | list[str]:
    """The code of a plug-in: a digest, or one for each of its modules if it has several."""
    digests = [digest_code(module) for module in list_code_modules(kind, plugin.name, plugin.object)]
    return digests[0] if len(digests) == 1 else digests


def _digest_token_code() -> list[str]:
    return [digest_code("slimgate.tasks.parts.next_token"), digest_code("slimgate.run.token_kl")]
