"""A draft as the text of a suite file, with comments on what was recognized and what may be changed.

It is validated at its future path, with the schema next to it, before it is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from slimgate._system.escape import cut_end
from slimgate._system.files import replacing, write_atomically
from slimgate._system.number_text import format_percent
from slimgate._system.toml import format_toml_key, format_toml_value
from slimgate.cli.init import proposing
from slimgate.cli.init.draft import Draft
from slimgate.data.labels import format_label_map
from slimgate.errors import DataError
from slimgate.judge.metrics import load_metric
from slimgate.judge.metrics.classes import find_conventional_positive
from slimgate.judge.power import CONVERTED, TRAINED
from slimgate.judge.rows_needed import count_planned_rows
from slimgate.models.config import list_model_labels
from slimgate.run.budget_plan import GateGroups, PlannedBudget, count_gate_groups, plan_budgets
from slimgate.run.rows import prepare_rows
from slimgate.run.slice_plan import SLICE_CHANGES
from slimgate.store.store import Store
from slimgate.suite.reader import load_suite
from slimgate.suite.schema import TITLE, make_suite_schema

if TYPE_CHECKING:
    from slimgate.plugins.base import Json

HEADER = "# Written by slimgate init"
SCHEMA_FILE = "suite.schema.json"
# How much the proposed budget lets a slice lose.
_SLICE_POINTS = 5.0
# More whole numbers than this may be scores, such as grades from 0 to 100.
_MANY_NUMBERS = 10
PRUNED = "shows what pruning without recovery costs"


def format_suite(draft: Draft, folder: Path) -> str:
    """The file's text. folder: the folder of the future file."""
    blocks = [
        _format_suite_head(draft),
        _format_task(draft, folder),
        _format_teacher_table(draft),
        _format_variants(draft),
        _format_budgets(draft),
        _format_measure_table(draft),
        _format_search(draft),
    ]
    return f"#:schema ./{SCHEMA_FILE}\n" + "\n".join(
        "".join(f"{line}\n" for line in block) for block in blocks
    )


def format_text(text: str) -> str:
    """Text of a user's rows in a comment: on one line, control characters shown."""
    shown = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
    return cut_end(shown, 60)


def _format_suite_head(draft: Draft) -> Iterator[str]:
    file = f"bench/{draft.name}.toml"
    yield f"{HEADER} for {format_text(os.path.basename(draft.files.first))}; change it as you like."
    yield f"#   pytest {file} --slimgate-plan   what would be built, and whether the rows decide the budgets"
    yield f"#   pytest {file}                   builds, measures, judges; writes reports/latest/{draft.name}/"
    yield "[suite]"
    yield f"title = {format_toml_value(_make_title(draft))}"


def _choose_metric(draft: Draft) -> str:
    return draft.metrics[0]


def _make_title(draft: Draft) -> str:
    options = draft.guess.options
    of = options.get("label") or options.get("score") or options.get("tags")
    if isinstance(of, str):
        subject = f"which {of}?" if proposing.is_share_of_rows(_choose_metric(draft)) else of
        return f"{draft.name}: {subject}"
    return f"{draft.name}: {draft.guess.kind.replace('_', ' ')}"


def _format_task(draft: Draft, folder: Path) -> Iterator[str]:
    yield from (f"# {line}" for line in describe_rows(draft))
    yield "[task]"
    yield f'kind = "{draft.guess.kind}"'
    yield f"source = {format_toml_value(draft.files.make_source(folder))}"
    for key, value in draft.options.items():
        remark = _find_remark(draft, key)
        yield f"{key} = {format_toml_value(value)}{f'   # {remark}' if remark else ''}"
    if len(draft.classes) == 2 and find_conventional_positive(draft.classes) is None:
        first, second = (format_text(format_toml_value(name)) for name in draft.classes)
        yield f"# positive = {second}   # {first} or {second}: the class of f1, precision and recall"
    if draft.guess.group is None:
        yield '# group = "document"   # a column: rows of one document, user or file stay in one split'
    else:
        yield f"group = {format_toml_value(draft.guess.group)}   # rows of one group stay in one split"
    if draft.label is not None:
        yield 'slices = ["length_bucket"]   # figures for each length, as for each label; add your columns'
    yield f"splits = {format_toml_value(draft.sizes)}   # gate only judges"


def _find_remark(draft: Draft, key: str) -> str | None:
    if key == "max_tokens":
        cut = sum(count > draft.max_tokens for count in draft.tokens)
        read = "read in several windows" if draft.task.next_token else "cut"
        return f"{cut} of {len(draft.tokens):,} rows looked at are longer, and {read}"
    if key == "pooling":
        return "a new head on the mean of the token vectors"
    if key == "add_bos":
        return "the first token is predicted too, behind the start token; other tools may not count it"
    if key == "chat":
        return "prompts go into the model's chat template, as a user's message"
    return "the data's label of each of the model's outputs" if key == "labels" else None


def describe_rows(draft: Draft) -> Iterator[str]:
    """Facts about the rows, one per line."""
    rows = ", ".join(f"{name} {table.num_rows:,}" for name, table in draft.parts.items() if name != "all")
    column = draft.files.split_column
    place = "in the files" if column is None else f"by the column {format_text(column)}"
    where = f" {place} ({rows})" if rows else ""
    yield f"{draft.table.num_rows:,} rows{where}: {format_text(draft.guess.why)}."
    splits = ", ".join(f"{name} {report.n:,}" for name, report in draft.cut.reports.items())
    yield f"Splits: {splits}."
    yield f"{sum(draft.tokens) / len(draft.tokens):.0f} tokens a row on average, {max(draft.tokens)} at most."
    yield from _describe_misread(draft)
    if draft.label is not None:
        ranked = draft.counts.most_common()
        (common_label, most_rows), (rare_label, fewest_rows) = ranked[0], ranked[-1]
        fewest = f"{fewest_rows:,} rows ({format_text(rare_label)})"
        largest = f"{most_rows:,} ({format_text(common_label)})"
        sizes = f"{most_rows:,} rows each" if fewest_rows == most_rows else f"from {fewest} to {largest}"
        yield f"{len(draft.classes)} labels, {sizes}."
        if len(draft.classes) > _MANY_NUMBERS and all(name.isdigit() for name in draft.classes):
            yield "The labels are numbers: if they are scores and not classes, use --task text_regression."
        if most_rows > 0.8 * draft.table.num_rows:
            yield "One label has most rows: accuracy says little of the others; see their slices."
    elif draft.classes:
        shown = ", ".join(map(format_text, draft.classes[:8]))
        yield f"{len(draft.classes)} labels: {shown}{', …' if len(draft.classes) > 8 else ''}."
    yield from _describe_unknown_labels(draft)
    yield from _describe_repeats(draft)
    if draft.guess.left:
        yield f"Columns not used: {', '.join(map(format_text, draft.guess.left[:12]))}."


def _describe_misread(draft: Draft) -> Iterator[str]:
    """Texts that the tokenizer does not know, and rows that a double quote has joined."""
    if (share := draft.tokenized.unreadable) > 0.1:
        yield (
            f"THE TOKENIZER CANNOT READ {format_percent(share, 0)} OF THE ROWS: at least one token in five "
            "is unknown to it. Is it the tokenizer that the model was trained with?"
        )
    joined = _count_joined_rows(draft)
    if joined:
        yield (
            f"{joined} texts hold tabs and line breaks, because they are in double quotes. If quotes "
            "are part of your texts, rows were joined: use --no-quotes."
        )


def _count_joined_rows(draft: Draft) -> int:
    """Texts of tsv files with a tab and a line break: a single quote joins rows up to the next quote."""
    files = (*draft.files.data, *draft.files.gate)
    if not draft.files.quotes or all(path.suffix != ".tsv" for path in files):
        return 0
    columns = [draft.table[name] for name in draft.guess.texts]
    joined_columns = [
        pc.and_(pc.match_substring(column, "\t"), pc.match_substring(column, "\n"))
        for column in columns
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    ]
    return sum(pc.sum(column).as_py() or 0 for column in joined_columns)


def _describe_unknown_labels(draft: Draft) -> Iterator[str]:
    """Labels of gate rows that no row for training has."""
    learnt, judged = (draft.cut.reports[name].label_counts for name in ("train", "gate"))
    unknown = [label for label, count in judged.items() if count and not learnt.get(label)]
    if unknown:
        shown = ", ".join(map(format_text, unknown[:8]))
        yield f"GATE ROWS HAVE LABELS THAT NO TRAIN ROW HAS: {shown}{', …' if len(unknown) > 8 else ''}."


def _describe_repeats(draft: Draft) -> Iterator[str]:
    reports = draft.cut.reports
    dropped = sum(report.dropped_overlap for report in reports.values())
    if dropped:
        share = dropped / draft.table.num_rows
        left_out = f"{dropped:,} ({format_percent(share)})"
        yield f"Rows left out, as a later split has (nearly) the same text: {left_out}."
    if draft.readiness == "ready" and "gate" not in draft.parts:
        yield (
            "The gate rows are a part of your rows. If the model was trained on these rows, give new rows "
            "with --gate, because a model answers rows from its training better than new rows."
        )
    if repeats := reports["gate"].repeats:
        yield f"Gate rows that repeat the text of another: {repeats}; rows of one text count as one group."
    if draft.guess.group is None and draft.recurring:
        yield f"{draft.recurring:,} rows share a text with another: a group column would keep them together."


def _format_teacher_table(draft: Draft) -> Iterator[str]:
    model = draft.model
    steps = [] if draft.readiness == "ready" else [{"fine_tune": proposing.choose_training_options(model)}]
    if draft.readiness == "other labels":
        labels = format_label_map(list_model_labels(model.config))
        yield f"# The model's own labels: {format_text(labels)}. If they"
        yield "# name the data's classes, give [task] labels, and take pooling and the steps out."
    elif draft.readiness == "fresh":
        yield "# The model has random weights, so it may need more epochs and a larger learning_rate."
    elif steps:
        yield "# The model has no head for this task: one starts from regression on its features."
    else:
        yield "# The model as it is: every variant is compared with it."
    yield "[teacher]"
    path = format_toml_value(model.text)
    yield f"model = {path}   # a folder, a hub id (name@revision), or package:NAME/PATH"
    if steps:
        yield f"steps = {format_toml_value(steps)}"


def _format_variants(draft: Draft) -> Iterator[str]:
    blocks = proposing.choose_blocks_of_model(draft.model)
    yield "# The models that you may ship; `slimgate steps` lists the steps. A model built elsewhere:"
    yield '# released = { model = "../exports/student" }'
    if blocks is None:
        yield "# The model has no two blocks of which one could be kept: no student here."
    else:
        yield "[variants.student]"
        yield f"# {_describe_blocks(draft, blocks)}, which learn to answer as the teacher does"
        yield f"steps = {format_toml_value([{'keep_layers': blocks}, _make_distillation(draft)])}"
        yield ""
    int8 = proposing.choose_int8_steps(draft.model)
    if int8:
        library = "CTranslate2" if draft.model.encoder_decoder else "ONNX Runtime"
        yield f"# int8 by {library}; in PyTorch it is {{ int8_dynamic = {{}} }}, which is slower on most CPUs"
        if "reduce_range" in str(int8):
            yield "# reduce_range: this processor has no VNNI, so sums of 8-bit products would saturate"
    else:
        yield "# `slimgate export` may write it as an ONNX graph, for which it needs slimgate[onnx]"
    yield "[variants.int8]"
    yield f"steps = {format_toml_value(int8 or [{'int8_dynamic': {}}])}"
    yield ""
    if blocks is not None:
        yield "[variants.student-int8]"
        yield 'from = "student"'
        yield f"steps = {format_toml_value(int8 or [{'int8_dynamic': {'embeddings': True}}])}"
        yield ""
    if int4 := proposing.choose_int4_steps(draft.model):
        yield "# 4 bits for each weight of the blocks, rounded by GPTQ. For vLLM or SGLang, add the step"
        yield "# { compressed_tensors = {} } (slimgate[llm]); for llama.cpp, see to_gguf"
        yield "[variants.int4]"
        yield f"steps = {format_toml_value(int4)}"
        return
    yield "[variants.pruned-50]"
    yield "steps = [{ magnitude_prune = { sparsity = 0.5 } }]"
    yield "gated = false   # measured and shown; its verdict fails no run"
    yield f"reason = {format_toml_value(PRUNED)}"


def _make_distillation(draft: Draft) -> Json:
    return {"distill": {**draft.task.distill_options, **proposing.choose_training_options(draft.model)}}


def _describe_blocks(draft: Draft, kept_blocks: Json | Sequence[int]) -> str:
    """`2 of 4 blocks`, or `3 of 6 blocks of the encoder and 3 of 6 of the decoder`."""
    if not isinstance(kept_blocks, dict):
        return f"{len(kept_blocks)} of {draft.model.blocks} blocks"
    counts = [
        f"{len(numbers)} of {draft.model.stacks[name]} blocks of the {name}"
        for name, numbers in kept_blocks.items()
    ]
    return " and ".join(counts)


def _format_budgets(draft: Draft) -> Iterator[str]:
    metric, gate = _choose_metric(draft), draft.gate
    proposed = proposing.choose_budgets(metric, gate.sizes)
    yield from (f"# {line}" for line in _explain_budgets(metric, gate, decidable=proposed.decidable))
    yield "[budgets]"
    yield f"{format_toml_key(metric)} = {format_toml_value(proposed.common)}"
    if proposed.of_int8 != proposed.common:
        yield "[budgets.variants.int8]"
        yield f"{format_toml_key(metric)} = {format_toml_value(proposed.of_int8)}"
    if proposing.choose_blocks_of_model(draft.model) is not None:
        yield "# After a first run, a little below what it showed:"
        yield "# [budgets.variants.student-int8]"
        yield "# size = { compression_min = 3.0 }"
        yield '# latency = { speedup_min = 1.5, on_inconclusive = "warn" }   # also p50_ms_max, p95_ms_max'
    fewest = min(filter(None, draft.cut.reports["gate"].label_counts.values()), default=0)
    needed = count_planned_rows(_SLICE_POINTS / 100, discordance=SLICE_CHANGES)
    if draft.label is not None and fewest < needed:
        yield f"# [budgets.slices] takes about {needed} gate rows of each label; one has {fewest}."
    elif draft.label is not None:
        yield "# The most that one label or length may lose; each needs enough rows to show it:"
        yield "# [budgets.slices]"
        yield f"# {format_toml_key(metric)} = {{ drop_points = {_SLICE_POINTS} }}"


def _explain_budgets(metric: str, gate: GateGroups, *, decidable: bool) -> Iterator[str]:
    """What the proposed budgets mean, and what the gate rows can decide."""
    if load_metric(metric).documents is not None:
        yield "Growth as a share of the teacher's: 0.03 is 3 %. above_cap_max: the share of rows that may"
        yield f"lose more than 1 nat a token. Fewer rows need a larger share; there are {gate}."
        yield "A budget that they cannot decide only warns (on_inconclusive below)."
        return
    if not proposing.is_share_of_rows(metric):
        yield f"How many rows these take shows after a first run (--slimgate-plan); there are {gate}."
        yield "A budget that they cannot decide only warns (on_inconclusive below)."
        return
    yield f"Percentage points that a variant may lose. {gate} decide these budgets in most runs,"
    converted, trained = (f"{100 * low:g} to {100 * high:g} %" for low, high in (CONVERTED, TRAINED))
    yield f"if int8 changes {converted} of the answers and a student {trained}, and neither is worse."
    if gate.group_sizes is not None:
        yield "A variant may fail on a whole group, so many rows in few groups decide little."
    if not decidable:
        yield "THESE ROWS ARE TOO FEW for any: gather more. Until then an undecided budget only warns."


def _format_measure_table(draft: Draft) -> Iterator[str]:
    gate = draft.gate
    batch = min(32, gate.rows)
    workloads: list[dict[str, Any]] = [{"batch": 1}] + ([{"batch": batch}] if batch > 1 else [])
    yield "[measure]"
    yield f"metrics = {format_toml_value(draft.metrics)}   # those without a budget are shown"
    yield f"workloads = {format_toml_value(workloads)}   # timed calls, on gate rows at their own lengths"
    if not proposing.choose_budgets(_choose_metric(draft), gate.sizes).decidable:
        yield 'on_inconclusive = "warn"'


def _format_search(draft: Draft) -> Iterator[str]:
    """A [tune] table as comments: which blocks to keep, then the steps of the student in int8."""
    half = proposing.choose_blocks_of_model(draft.model)
    if not isinstance(half, list) or len(half) < 2:
        return
    fewer = [half[0], half[-1]] if len(half) > 2 else half[:1]
    blocks = {"keep_layers": {"choices": [half, fewer]}}
    int8 = proposing.choose_int8_steps(draft.model) or [{"int8_dynamic": {"embeddings": True}}]
    command = f"slimgate tune bench/{draft.name}.toml"
    yield f"# What `{command}` searches for the fastest variant inside the budgets (slimgate[tune]):"
    yield "# [[tune.space]]"
    yield f"# steps = {format_toml_value([blocks, _make_distillation(draft), *int8])}"


def check_free(path: Path, *, force: bool) -> None:
    """Raises DataError if the suite or its schema would overwrite a user's own file."""
    if (path.exists() or path.is_symlink()) and not force:
        raise DataError(
            f"{path}: this suite already exists; choose another name with --name, or replace this suite "
            "with --force"
        )
    schema = path.with_name(SCHEMA_FILE)
    for file in (path, schema):
        if file.is_dir():
            raise DataError(
                f"{file}: this is a folder, but slimgate writes a file with this name; move the folder"
            )
    if schema.exists() and not force and not _is_ours(schema):
        raise DataError(
            f"{schema}: this file exists and is not a schema of slimgate; move it, or replace it with --force"
        )


def write_suite(draft: Draft, path: Path) -> list[PlannedBudget]:
    """Writes the suite and its schema; returns what its gate rows can decide.

    Raises SlimgateError if the suite would not run; then it writes no file.
    """
    try:
        with _removing_new_folders(path), replacing(path) as new:
            # resolved, because ".." after a link leads up from the link's target
            new.write_text(format_suite(draft, path.parent.resolve()), "utf-8")
            suite = load_suite(new, str(path))
            with TemporaryDirectory(prefix="slimgate-") as store:
                gate = count_gate_groups(suite, prepare_rows(suite, Store(Path(store))))
            planned = plan_budgets(suite, gate, None)
            write_atomically(path.with_name(SCHEMA_FILE), json.dumps(make_suite_schema(), indent=1) + "\n")
        return planned
    except OSError as error:
        raise DataError(f"{path}: the suite cannot be written there: {error.strerror or error}") from error


@contextmanager
def _removing_new_folders(path: Path) -> Iterator[None]:
    """Removes the folders that were made for a suite which was not written."""
    new_folders = [folder for folder in path.parents if not folder.exists()]
    try:
        yield
    except BaseException:
        for folder in new_folders:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise


def _is_ours(schema: Path) -> bool:
    try:
        content = json.loads(schema.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("title") == TITLE
