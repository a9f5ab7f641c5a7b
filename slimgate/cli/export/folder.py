"""The exported folder, complete or absent: the model's files, tokenizer, config.json, README.md."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgate._system.escape import escape, escape_invisible
from slimgate._system.files import replacing_folder
from slimgate._system.number_text import format_megabytes, format_significant
from slimgate.cli.export.forms import TRANSFORMERS, Written, write_form
from slimgate.cli.export.snippets import (
    ENCODER_FILE,
    LAYOUTS,
    TEXTS,
    describe_servers,
    find_layout,
    format_start_commands,
    list_packages,
    make_example_texts,
    make_snippet,
    may_call_tokenizers,
)
from slimgate.cli.export.stored import GateRows, describe_runtime, read_judged_runtime, set_judged_options
from slimgate.cli.export.tokenizer_file import is_enough, store_length_rules
from slimgate.errors import BuildError, DataError, SlimgateError
from slimgate.models.saved_files import DESCRIPTION, save_tokenizer
from slimgate.plugins.loading import find_form, list_known_plugins, load
from slimgate.plugins.task import Task
from slimgate.record.files import StoredRecord
from slimgate.record.run import VariantRecord
from slimgate.report.card import make_card
from slimgate.report.card_metadata import TAG
from slimgate.report.tables import blocks, format_bullets
from slimgate.runtimes.cascade import KIND as CASCADE
from slimgate.store.store import Artifact, list_files, make_scratch_folder
from slimgate.suite.named_plugin import SuiteRuntime

if TYPE_CHECKING:
    from slimgate.cli.export.row_check import RowCheck
    from slimgate.plugins.base import Json

README = "README.md"
READABLE = 0o644


def check_free(folder: Path, *, force: bool) -> None:
    """Raises DataError for a path that must not be replaced.

    That is a file, a folder that contains the current folder, and a folder that is not empty; with `force`,
    only if it is no export.
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: this is a file, expected a folder or a new path")
    if Path.cwd().is_relative_to(folder.resolve()):
        raise DataError(f"{folder}: the command was started inside this folder; name another folder")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not force:
        raise DataError(
            f"{folder}: the folder is not empty; name another folder, or replace this folder with --force"
        )
    if not _is_export(folder):
        raise DataError(
            f"{folder}: the folder is not an export, and --force replaces only exports; name another "
            "folder, or empty this folder"
        )


def _is_export(folder: Path) -> bool:
    """Whether `slimgate export` wrote the folder, and nothing was added, such as the .git of a clone."""
    try:
        start, _, text = (folder / README).read_text("utf-8").partition("---\n")
    except (OSError, ValueError):
        return False
    tagged = not start and f"- {TAG}" in text.partition("\n---\n")[0].splitlines()
    return tagged and not any(path.name.startswith(".") for path in folder.iterdir())


@dataclass(frozen=True)
class Export:
    """A model to export, with what a folder says of it.

    params: of the task. form: None for the form nearest to the judged one. gate: the rows, or why they are
    not available. reason: why the model is exported although it does not pass, for its card.
    """

    run: StoredRecord
    model: VariantRecord
    artifact: Artifact
    params: Json
    form: str | None
    gate: GateRows | str
    reason: str | None = None


def write_export(export: Export, folder: Path) -> tuple[Written, str]:
    """Writes the folder; returns its content, and how it answers the gate rows.

    Raises SlimgateError that names the variant; OtherAnswers if the folder does not answer like the model.
    Then there is no folder.
    """
    model, artifact, params, gate = export.model, export.artifact, export.params, export.gate
    try:
        with replacing_folder(folder) as new, make_scratch_folder(new) as scratch:
            if artifact.kind == CASCADE:
                return _write_cascade(export, new, scratch)
            _print_stage(f"writing {model.name}")
            judged = _read_judged(model)
            written = set_judged_options(write_form(artifact, export.form, new, scratch), judged)
            task = _choose_task(export.run, gate)
            written = write_companions(written, task, params, _list_compared_texts(gate), new)
            if isinstance(gate, GateRows):
                rows = len(gate.compared)
                _print_stage(f"comparing its answers with the judged model's on {rows:,} gate rows")

            def check(rows: GateRows, runtime: SuiteRuntime) -> RowCheck:
                from slimgate.cli.export.row_check import check_rows

                return check_rows(artifact, runtime, written, new, rows, scratch)

            checked = _describe_check(gate, judged, check)
            card = make_card(export.run.record, model, form=written.form, export_reason=export.reason)
            packages, usage = _format_usage(written, task, params)
            use = blocks(
                "## Use",
                _describe_needs(packages, new),
                usage,
                *_describe_serving(written),
                format_bullets(_list_notes(judged, written, params, checked)),
            )
            _write_card(new, blocks(card, use))
    except SlimgateError as error:
        raise type(error)(f"{model.name}: {error}") from error
    except OSError as error:
        raise BuildError(
            f"{folder}: {model.name} could not be written there: {error.strerror or error}"
        ) from error
    return written, checked


def _print_stage(activity: str) -> None:
    """Says on standard error what takes the next seconds or minutes."""
    sys.stderr.write(f"slimgate export: {escape_invisible(activity)}\n")
    sys.stderr.flush()


def _write_cascade(export: Export, new: Path, scratch: Path) -> tuple[Written, str]:
    """Writes the folder of a cascade: each of its models, and the code that calls them."""
    from slimgate.cli.export.cascade import check_cascade, format_usage, write_loader, write_models

    run, artifact, params, gate = export.run, export.artifact, export.params, export.gate
    judged = _read_judged(export.model)
    members, task = write_models(artifact, export.form, new, scratch), _choose_task(run, gate)
    written = [
        write_companions(model, task, params, _list_compared_texts(gate), new / member.folder)
        for member, model in zip(members.members, members.written, strict=True)
    ]
    members = replace(members, written=tuple(written))
    write_loader(members, run.record.task.classes, new)
    checked = _describe_check(
        gate, judged, lambda rows, runtime: check_cascade(artifact, runtime, members, new, rows)
    )
    text = blocks(
        make_card(run.record, export.model, export_reason=export.reason),
        "## Use",
        _describe_needs(f"`pip install {' '.join(members.packages)}`", new),
        f"```python\n{format_usage(make_example_texts(members.written[0], params))}\n```",
        format_bullets(
            [
                f"This folder, loaded from its files, against the judged cascade: {escape(checked)}.",
                "`cascade.json` lists the models in order. A model answers a row if its highest probability "
                "reaches its threshold. The last model answers the rest. If a model has a weight below 1, "
                "its scores count with that weight in a mean with the models before it.",
                *(f"{escape(difference)}." for difference in members.differences),
            ]
        ),
    )
    _write_card(new, text)
    return Written(CASCADE, None, None), checked


def write_companions(
    written: Written,
    task: Task[Any] | type[Task[Any]],
    params: Json,
    columns: Sequence[Sequence[str]],
    folder: Path,
) -> Written:
    """Writes config.json for graphs without one, and the tokenizer's files.

    Args:
        written: the content of the folder.
        task: the task that the model was judged on.
        params: the options of the task.
        columns: texts on which the tokenizer's file is compared, one sequence for each text column.
        folder: the exported folder.

    Returns:
        `written`, which then says whether the tokenizer's file is enough.
    """
    (folder / DESCRIPTION).unlink(missing_ok=True)
    form, tokenizer = find_form(written.form), written.tokenizer
    if written.form != TRANSFORMERS and not form.own_config:
        written.config.save_pretrained(folder)
    if params.get("max_tokens"):
        tokenizer.model_max_length = int(params["max_tokens"])
    for name, value in task.tokenizer_settings.items():
        setattr(tokenizer, name, value)
    save_tokenizer(tokenizer, folder)
    if not may_call_tokenizers(form, task.snippet_tail):
        return written
    store_length_rules(tokenizer, folder)
    return replace(written, tokenizer_is_enough=is_enough(tokenizer, folder, columns))


def _read_judged(model: VariantRecord) -> SuiteRuntime | str:
    """The runtime that the model was judged in, or why it is not known."""
    assert model.artifact is not None, "an artifact was found"
    return read_judged_runtime(model.artifact.runtime, model.artifact.runtime_params)


def _write_card(folder: Path, text: str) -> None:
    """Writes README.md, and lets everybody read the folder: safetensors writes for the owner alone."""
    (folder / README).write_text(text + "\n", "utf-8")
    for name in list_files(folder):
        (folder / name).chmod(READABLE)


def _describe_check(
    gate: GateRows | str,
    judged: SuiteRuntime | str,
    check: Callable[[GateRows, SuiteRuntime], RowCheck],
) -> str:
    """How the written folder answers, in words. check: compares it with the judged model."""
    if isinstance(gate, str) or isinstance(judged, str):
        return f"not compared on the gate rows: {gate if isinstance(gate, str) else judged}"
    return check(gate, judged).message


def _list_compared_texts(gate: GateRows | str) -> list[list[Any]]:
    return [list(TEXTS)] if isinstance(gate, str) else gate.read_text_columns()


def _choose_task(run: StoredRecord, gate: GateRows | str) -> Task[Any] | type[Task[Any]]:
    """The suite's task; without the suite, the base class stands for a task from a plug-in."""
    if isinstance(gate, GateRows):
        return gate.suite.setup.task.object
    kind = run.record.task.kind
    # a record's dotted path is not imported
    return load("task", kind) if kind in list_known_plugins("task") else Task


def _format_usage(written: Written, task: Task[Any] | type[Task[Any]], params: Json) -> tuple[str, str]:
    """The packages to install, and the lines that use the folder, as a block of markdown."""
    if find_layout(written) == ENCODER_FILE:
        return "llama.cpp", f'```console\n$ llama-embedding -m {written.gguf} -p "{TEXTS[0]}"\n```'
    packages = LAYOUTS[written.layout].packages if written.layout in LAYOUTS else ()
    form = find_form(written.form)
    needs = " ".join(("pip install", *list_packages(written, form, task), *packages))
    return f"`{needs}`", f"```python\n{make_snippet(written, form, task, params)}\n```"


def _describe_needs(packages: str, folder: Path) -> str:
    """The sentence on what a folder needs. packages: to install, as markdown."""
    size = sum((folder / name).stat().st_size for name in list_files(folder))
    return f"Needs {packages}; run it in this folder ({format_megabytes(size)} MB)."


def _describe_serving(written: Written) -> list[str]:
    """How to serve the folder, as blocks of markdown."""
    if not (commands := format_start_commands(written)):
        return []
    lines = "\n".join(f"$ {command}" for command in commands)
    return ["To serve it, run one of these in this folder:", f"```console\n{lines}\n```"]


def _list_notes(judged: SuiteRuntime | str, written: Written, params: Json, checked: str) -> list[str]:
    notes = [f"This folder, loaded from its files, against the model that was judged: {escape(checked)}."]
    if written.layout is not None:
        notes.append("The files are those that were judged.")
        if not isinstance(judged, str) and judged.name != written.runtime.name:
            notes.append(
                f"The answers were compared in the runtime {judged.name}. The lines above may use another "
                "program, and their answers may differ."
            )
        if servers := describe_servers(find_layout(written)):
            notes.append(f"{servers[0].upper()}{servers[1:]}.")
    elif written.compared:
        apart = written.compared["max_difference"]
        near = f"differ by at most {format_significant(apart, 2)}" if apart else "are equal"
        notes.append(
            f"Made from the model that was judged: on made-up token ids the scores {near}. The figures above "
            "are of the model as it was judged."
        )
    else:
        notes.append("The graph is the file that was judged.")
    if difference := describe_runtime(written, judged):
        times = "" if isinstance(judged, str) else "; its times and bytes above are of that form"
        notes.append(f"{difference[0].upper()}{difference[1:]}{times}.")
    if written.static:
        prompts_note = "; put the prompt before each text" if params.get("prompts") else ""
        notes.append(
            '`SentenceTransformer(".")` of sentence-transformers loads the folder too, and gives the same '
            f"vectors of texts that are not cut{prompts_note}."
        )
    if written.pairs:
        notes.append(
            "The graph takes an even number of texts: the first half are queries (or first texts), the "
            "second half documents (or second texts)."
        )
    return notes
