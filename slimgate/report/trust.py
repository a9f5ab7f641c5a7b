"""The basis of the figures: the rows or the files, the gate's self-test, the machine, the command.

The suite author's published figures are their own markdown, made harmless.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from slimgate._system.escape import escape, escape_invisible, fence_code
from slimgate._system.number_text import (
    format_count,
    format_duration,
    format_fixed,
    format_int,
    format_percent,
)
from slimgate._system.timestamps import format_moment
from slimgate.judge.score_metric import RECORD_KIND, RULES
from slimgate.record.run import RunRecord
from slimgate.record.task import PREDICTIONS, Machine, SplitFacts
from slimgate.report.figures import add_note
from slimgate.report.peaks import list_rate_lines
from slimgate.report.since_baseline import name_baseline
from slimgate.report.stages import format_value
from slimgate.report.status import find_teacher, list_models
from slimgate.report.tables import (
    Column,
    add_heading,
    blocks,
    format_bullets,
    make_pipe_table,
    remove_empty_columns,
)
from slimgate.results.checks import TEACHER
from slimgate.results.self_test import PlantedDelay, SelfTest, SelfTestFacts

_GIGABYTE = 1024**3
_HEADING = re.compile(r"^ {0,3}#{1,6}(?=\s|$)", re.MULTILINE)
_UNDERLINE = re.compile(r"^( {0,3})(=+|-+)[ \t]*$", re.MULTILINE)
_ORDER = ("unlabelled", "train", "calibration", "selection", "gate", "confirm")
# More labels than these are summed up in a line a split.
_MOST_LABELS = 12
_SHA256_DIGITS = 64


def describe_delay(delay: PlantedDelay) -> str:
    """`detected no slow-down under 30 % of a call`, if only a large delay was seen; else empty."""
    if not delay.seen or delay.clearance is None or delay.clearance <= 1.0:
        return ""
    return f"detected no slow-down under {format_percent(delay.clearance - 1, 0)} of a call"


def format_self_test(record: RunRecord) -> str:
    """The section: what was planted, the gate's verdict on it, and whether that is right."""
    if record.task.is_of_files:  # a log has no model to copy or to damage
        return ""
    tests = record.self_test
    undecided = "**The rows could not decide it**" if tests.undecided_fault is not None else "As expected"
    lines = [
        _format_check("identical copy", tests.identical, _choose_state(tests, "identical", "As expected")),
        _format_check("planted fault", tests.planted_fault, _choose_state(tests, "planted_fault", undecided)),
        _format_check("planted delay", tests.planted_delay, _format_delay_state(tests.planted_delay)),
    ]
    return blocks("## Self-test of the gate", format_bullets(lines))


def _choose_state(self_test: SelfTest, name: str, default: str) -> str:
    return "**The gate cannot be trusted**" if name in self_test.failures else default


def _format_delay_state(delay: PlantedDelay | None) -> str:
    if delay is None or not delay.seen:
        return "**Not detected, so no speed-up is decided**"
    if words := describe_delay(delay):
        return f"**The run {words}, so a speed-up closer than that to its budget can stay undecided**"
    return "As expected"


def _format_check(name: str, check: SelfTestFacts | PlantedDelay | None, state: str) -> str:
    if check is None:
        return f"Not run: {name}."
    return f"{state}: {escape(check.message.removeprefix('self-test, '))}"


def format_machine_section(record: RunRecord) -> str:
    """The section, with the command that made the run. For judged files it leaves out the processor."""
    machine = record.machine
    lines = _list_version_lines(machine) if record.task.is_of_files else list_machine_lines(machine)
    by_processor: dict[str, list[str]] = {}
    for model in list_models(record):
        for processor in {facts.answered_on for facts in model.quality.values() if facts.answered_on}:
            by_processor.setdefault(processor, []).append(escape(model.name))
    return blocks(
        "## Versions" if record.task.is_of_files else "## Machine and versions",
        format_bullets(
            [
                *lines,
                *_list_run_lines(record),
                *(
                    f"answers from the store, computed on {escape(processor)}: {', '.join(names)}"
                    for processor, names in by_processor.items()
                ),
            ]
        ),
        "The command that made this:",
        fence_code(record.command),
    )


def list_machine_lines(machine: Machine) -> Iterator[str]:
    """Processor, its peaks, system, libraries, and what made times unsteady."""
    threads = format_count(machine.threads, "thread", "threads")
    cores = f"{format_count(machine.cores, 'core', 'cores')}, {threads} used"
    memory = f"{format_fixed(machine.memory_bytes / _GIGABYTE, 1)} GB of memory"
    able = f" ({escape(' '.join(machine.instructions))})" if machine.instructions else ""
    yield f"{escape(machine.cpu)}{able}, {cores}, {memory}, device {escape(machine.device_and_gpu)}"
    yield from list_rate_lines(machine)
    yield from _list_version_lines(machine)
    yield from (f"**times may be off**: {escape(warning)}" for warning in machine.warnings)


def _list_version_lines(machine: Machine) -> Iterator[str]:
    yield f"{escape(machine.os)}, Python {escape(machine.python)}"
    installed = [
        f"{escape(name)} {escape(version)}" for name, version in sorted(machine.libraries.items()) if version
    ]
    absent = [escape(name) for name, version in sorted(machine.libraries.items()) if not version]
    if installed:
        yield ", ".join(installed)
    if absent:
        yield f"not installed: {', '.join(absent)}"


def _list_run_lines(record: RunRecord) -> Iterator[str]:
    suite = record.suite
    seed = f"seed {', '.join(map(str, suite.seeds)) or 'not stated'}"
    named = f"suite {escape(suite.path)}, digest {escape(suite.digest[:12])}"
    yield f"{named}, {seed}" if record.has_suite_file else seed
    took = "" if record.seconds is None else f", took {format_duration(record.seconds)}"
    yield f"slimgate {escape(record.slimgate)}, {escape(record.created)}{took}"
    times = sorted(set(_list_measured_times(record)))
    if len(times) > 1 and not record.task.is_of_files:
        yield f"measured between {escape(times[0])} and {escape(times[-1])}"


def _list_measured_times(record: RunRecord) -> Iterator[str]:
    for model in record.variants:
        yield from (facts.measured for facts in model.quality.values())
        yield from (facts.measured for facts in model.latency.values())
        if model.size is not None:
            yield model.size.measured
        if model.memory is not None:
            yield model.memory.measured
        if model.flops is not None:
            yield model.flops.measured
        yield from (facts.measured for facts in model.measurements.values())
        if model.behaviour is not None and model.behaviour.measured is not None:
            yield model.behaviour.measured


def format_published_section(record: RunRecord) -> str:
    """The section; empty if the suite names no reference."""
    text = (record.suite.reference or "").strip()
    note = "As others published them, on their machines and rows; nothing here is judged by them."
    return add_heading("## Published figures", f"{note}\n\n{make_harmless(text)}" if text else "")


def make_harmless(markdown: str) -> str:
    """Keeps tables, lists and links; HTML, images and headings are shown as text in a report."""
    lines = [escape_invisible(line.expandtabs(4)) for line in markdown.splitlines()]
    text = "\n".join(lines).replace("<", "&lt;").replace("![", "!\\[")
    return _UNDERLINE.sub(r"\1\\\2", _HEADING.sub("####", text))


def format_data_section(record: RunRecord) -> str:
    """The section; empty for load tests and KL logs, which have no rows."""
    if not record.task.has_rows:
        return ""
    return blocks(
        "## Data",
        _describe_task_source(record),
        _format_split_table(_sort_splits(record), of_files=record.task.is_of_files),
        _format_label_counts(record),
    )


def _sort_splits(record: RunRecord) -> dict[str, SplitFacts]:
    """The splits in the order in which a build uses them."""
    splits = record.task.splits
    return {
        name: splits[name]
        for name in (*(n for n in _ORDER if n in splits), *(n for n in splits if n not in _ORDER))
    }


def _describe_task_source(record: RunRecord) -> str:
    task = record.task
    if task.is_of_files:
        return describe_source(record)
    kind = "real text" if task.real else "**made up, not real**"
    name = escape(task.source.get("name", "a source without a name"))
    options = {key: value for key, value in task.source.items() if key != "name"}
    source = add_note(name, escape(format_value(options)) if options else None)
    classes = f", {format_int(len(task.classes))} classes" if task.classes else ""
    return f"Task {escape(task.kind)}{classes}. Rows from {source}: {kind}."


def _format_split_table(splits: dict[str, SplitFacts], *, of_files: bool) -> str:
    """The table. of_files: slimgate made no splits, so there is no column of dropped rows."""

    def column(head: str, cell: Callable[[SplitFacts], str]) -> Column:
        return Column(head, [cell(facts) for facts in splits.values()], right=True)

    columns = [
        Column("split", [escape(name) for name in splits]),
        column("rows", lambda facts: format_int(facts.n)),
        column("groups", lambda facts: format_int(facts.groups)),
        column(
            "dropped, also in a later split",
            lambda facts: format_int(None if of_files else facts.dropped_overlap),
        ),
        column("of these, near-repeats", lambda facts: format_int(facts.near_repeats or None)),
        column("repeats", lambda facts: format_int(None if of_files else facts.repeats)),
        column("label share off by, points", lambda facts: format_fixed(facts.label_deviation_points, 1)),
        column("digest", lambda facts: escape(facts.digest[:12])),
    ]
    return make_pipe_table(remove_empty_columns(columns))


def _format_label_counts(record: RunRecord) -> str:
    counted = {name: facts.label_counts for name, facts in _sort_splits(record).items() if facts.label_counts}
    if not counted:
        return ""
    labels = list(dict.fromkeys(label for counts in counted.values() for label in counts))
    if len(labels) > _MOST_LABELS:
        return format_bullets(_summarize_labels(name, counts) for name, counts in counted.items())
    columns = [
        Column(escape(name), [format_int(counts.get(label, 0)) for label in labels], right=True)
        for name, counts in counted.items()
    ]
    return make_pipe_table([Column("rows of label", [escape(label) for label in labels]), *columns])


def _summarize_labels(split: str, counts: dict[str, int]) -> str:
    by_size = sorted(counts.items(), key=lambda item: (item[1], item[0]))
    (rare, fewest), (common, largest) = by_size[0], by_size[-1]
    spread = f"{format_int(len(counts))} labels, fewest rows {format_int(fewest)} ({escape(rare)})"
    return f"{escape(split)}: {spread}, most {format_int(largest)} ({escape(common)})"


def describe_files(record: RunRecord) -> Iterator[str]:
    """`teacher.csv (SHA-256 6f1c…)`; `runs/base (digest 6f1c…)` for a folder; empty without digests."""
    for name in record.task.source.get("files") or {}:
        yield describe_file(record, name)


def describe_file(record: RunRecord, name: str) -> str:
    """A judged file or folder with its digest, if the record has it."""
    digest = (record.task.source.get("files") or {}).get(name)
    if digest is None:
        return escape(name)
    kind = "SHA-256" if len(digest) == _SHA256_DIGITS else "digest"
    return f"{escape(name)} ({kind} {escape(digest[:12])})"


def describe_source(record: RunRecord) -> str:
    """The files of tools, as the command or the suite names them."""
    task, source = record.task, record.task.source
    name = escape(source.get("name", "files"))
    files = list(describe_files(record))
    if not files:
        targets = (f"target {escape(target)}" for target in source.get("targets", []))
        files = [f"base {escape(source.get('base', 'not named'))}", *targets]
    classes = f" {format_count(len(task.labels), 'class', 'classes')}." if task.labels else ""
    return f"Judged from {name}: {', '.join(files)}.{classes}"


_DIGITS = 12


def format_origin(record: RunRecord) -> str:
    """Suite, rows, time and commit; for files, what was compared, and their digests."""
    gate = record.task.splits.get("gate")
    commit = [] if record.suite.commit is None else [f"commit {escape(record.suite.commit)}"]
    if record.task.is_of_files:
        if not record.task.has_rows:
            return " · ".join(
                [escape(str(record.task.source["name"])), format_moment(record.created), *commit]
            )
        noun = "scores" if record.task.kind == RECORD_KIND else "rows"
        counted = [] if gate is None else [_format_rows(gate, noun)]
        suite = [f"Suite {escape(record.suite.path)}"] if record.has_suite_file else []
        return " · ".join([*suite, *counted, format_moment(record.created), *commit])
    rows = [] if gate is None else [_format_rows(gate, "gate rows")]
    return " · ".join([f"Suite {escape(record.suite.path)}", *rows, format_moment(record.created), *commit])


def _format_rows(gate: SplitFacts, noun: str) -> str:
    """`6,000 gate rows in 1,015 groups`, without the groups if each row is one."""
    groups = "" if gate.groups is None else f" in {format_count(gate.groups, 'group', 'groups')}"
    return f"{format_int(gate.n)} {noun}{groups}"


def describe_run(record: RunRecord) -> str:
    """Teacher, machine, baseline and self-test of a suite of models.

    For files: both sides with their models, paths and digests, where the scores come from, and which
    differences between the logs the user allowed.
    """
    return " · ".join(_describe_judged(record) if record.task.is_of_files else _describe_run(record))


def _describe_judged(record: RunRecord) -> Iterator[str]:
    source, sides = record.task.source, record.task.sides
    base, targets = source.get("base"), source.get("targets") or []
    if base is None:
        yield from describe_files(record)
        return
    of_predictions = record.task.kind == PREDICTIONS  # its files name no model
    models = {model.name: None if of_predictions else model.parent for model in record.variants}
    variants = [model for model in record.variants if model.name != TEACHER]
    yield f"{sides.original}: {_describe_side(record, models.get(TEACHER), base)}"
    for variant, file in zip(variants, targets, strict=False):
        side = _describe_side(record, models[variant.name], file)
        yield f"{sides.other} **{escape(variant.name)}**: {side}"
    further = [name for name in source.get("files") or {} if name not in (base, *targets)]
    yield from (f"further run: {describe_file(record, name)}" for name in further)
    yield _describe_scores(record)
    allowed = (record.task.params or {}).get(RULES, {}).get("allow")
    if allowed is not None:
        yield f"allowed differences: {escape(', '.join(allowed) or 'none')}"


def _describe_side(record: RunRecord, model: str | None, file: str) -> str:
    """`int4, logs/int4 (digest 6f1c…)`. model: as the log names it."""
    return f"{escape(model)}, {describe_file(record, file)}" if model else describe_file(record, file)


def _describe_scores(record: RunRecord) -> str:
    """Who computed the figures that were judged."""
    if record.task.kind == PREDICTIONS:
        return "scores computed by slimgate from labels and predictions"
    tool, computed = escape(str(record.task.source["name"])), record.task.source.get("computed")
    line = f"{'scores' if record.task.has_rows else 'times'} as {tool} wrote them"
    return f"{line}, except {escape(', '.join(computed))}, computed by slimgate" if computed else line


def _describe_run(record: RunRecord) -> Iterator[str]:
    original = find_teacher(record)
    if original is not None:
        digest = f", digest {original.artifact.digest[:_DIGITS]}" if original.artifact else ""
        source = f" {escape(original.parent)}" if original.parent else ""
        yield f"Teacher{source}{digest}"
    machine = record.machine
    cores = format_count(machine.cores, "core", "cores")
    device = "" if machine.device == "cpu" else f", device {escape(machine.device_and_gpu)}"
    yield f"{escape(machine.cpu)}, {cores}{device}"
    yield f"baseline {name_baseline(record) or 'none'}"
    yield f"self-test {_count_self_tests(record.self_test)}"


def _count_self_tests(self_test: SelfTest) -> str:
    """`3 of 3 as expected`, and the names of the others."""
    fault, delay = self_test.planted_fault, self_test.planted_delay
    fault_failed = "planted_fault" in self_test.failures or self_test.undecided_fault is not None
    outcomes = {
        "identical copy": None if self_test.identical is None else "identical" not in self_test.failures,
        "planted fault": None if fault is None else not fault_failed,
        "planted delay": None if delay is None else delay.seen and not describe_delay(delay),
    }
    known = {name: passed for name, passed in outcomes.items() if passed is not None}
    if not known:
        return "not run"
    missed = [name for name, passed in known.items() if not passed]
    note = f" (not the {' and the '.join(missed)})" if missed else ""
    return f"{len(known) - len(missed)} of {len(known)} as expected{note}"
