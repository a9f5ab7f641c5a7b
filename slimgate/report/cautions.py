"""Notes to read before a verdict is trusted: what it omits, what was loosened, how times were measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from itertools import chain
from typing import NamedTuple

from slimgate._system.escape import escape
from slimgate._system.number_text import (
    format_count,
    format_fixed,
    format_int,
    format_percent,
    format_significant,
)
from slimgate._system.processor import has_saturating_sums
from slimgate.budgets.registry import is_in_points
from slimgate.errors import list_names
from slimgate.judge.decision import choose_band
from slimgate.models.quantized_files import COMPUTED_UNPACKED
from slimgate.record.build import ArtifactFacts
from slimgate.record.earlier_results import describe_carried, list_carried
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.alarms import list_unreadable_rows
from slimgate.report.builds import list_unlucky_builds
from slimgate.report.confirm import list_row_use_cautions
from slimgate.report.environments import list_server_differences
from slimgate.report.epochs import read_epochs
from slimgate.report.figures import add_note, describe_duel
from slimgate.report.peaks import list_slow_runtimes
from slimgate.report.status import (
    describe_workload,
    find_median_ms,
    find_new_head,
    find_teacher,
    format_switched_off,
    list_budgeted_metrics,
    list_models,
    list_unbudgeted_metrics,
    list_unjudged_budgets,
    list_variants,
)
from slimgate.report.trust import describe_delay
from slimgate.report.weights import list_unquantized_models
from slimgate.results.behaviour import SliceFacts
from slimgate.runtimes.endpoint import KIND as ENDPOINT

# Medians of the same model differ by a few percent from one minute to the next.
_SLOWER = 1.05
_UNSTEADY = 0.2
_MOST_UNSTEADY = 4
_MOST_UNGATED = 12
_MUCH_OVERLAP = 0.01
# The largest number of workloads on which a slower variant is named.
_MOST_SLOWER = 2
_PROMISES = {
    "smaller": "a smaller artifact",
    "fewer_parameters": "fewer parameters",
    "sparser": "fewer parameters other than zero",
    "faster": "a faster model",
}


class Severity(IntEnum):
    """How much a note matters: notes with the lowest value come first."""

    VERDICT = 0  # the verdict means something else than it seems to
    FIGURE = 1  # a figure is less sure than it looks, or is missing
    FACT = 2  # good to know


class Note(NamedTuple):
    """A note to read before a verdict is trusted, as markdown."""

    severity: Severity
    text: str


def format_notes(record: RunRecord) -> list[str]:
    """The notes to read before the verdict is trusted, as markdown; the most important note comes first."""
    return [note.text for note in list_notes(record)]


def list_notes(record: RunRecord) -> list[Note]:
    """All notes on a record, by severity."""
    return sorted(_list_all_notes(record), key=lambda note: note.severity)


def _list_all_notes(record: RunRecord) -> Iterator[Note]:
    gated, ungated = (_choose_variants(record, gated=gated) for gated in (True, False))
    by_severity = {
        Severity.VERDICT: (
            _note_made_up_rows(record),
            _note_teacher_again(record),
            (f"**Unknown tokens**: {escape(line)}." for line in list_unreadable_rows(record)),
            _note_prompt_faults(record),
            _note_self_test_doubts(record),
            _note_missing_parts(record),
            _note_loosened_budgets(record),
            _note_switched_off_budgets(record),
            list_unquantized_models(record),
            list_row_use_cautions(record),
            list_unlucky_builds(record),
            _note_fallen_slices(gated),
            _note_broken_claims(gated),
            _note_new_heads(record),
            _note_saturating_kernels(record),
            _list_judge_warnings(record),
        ),
        Severity.FIGURE: (
            _note_hidden_delay(record),
            _note_unpacked_weights(record),
            list_server_differences(record),
            _list_step_warnings(record),
            # those without rows are shown with the figures of their target
            map(escape, list_file_notes(record) if record.task.has_rows else ()),
            _note_busy_machine(record),
            list_slow_runtimes(record),
            _note_unsteady_times(record),
            _note_overlap(record),
        ),
        Severity.FACT: (
            _note_ungated_variants(record),
            _note_fallen_slices(ungated),
            _note_broken_claims(ungated),
            _note_missing_gain(record),
            _note_unbudgeted_metrics(record),
        ),
    }
    for severity, texts in by_severity.items():
        yield from (Note(severity, text) for text in chain(*texts))


def _note_made_up_rows(record: RunRecord) -> Iterator[str]:
    if not record.task.real:
        yield "**The rows are made up.** Nothing here says how the models do on text that people wrote."


def _note_teacher_again(record: RunRecord) -> Iterator[str]:
    """Gated variants that are the teacher itself, or may be another name of the teacher on its server."""
    teacher = find_teacher(record)
    for model in _choose_variants(record, gated=True):
        if teacher is None or teacher.artifact is None or model.artifact is None:
            continue
        same, flips = escape(model.name), model.behaviour and model.behaviour.flips
        if _describe_answering(model.artifact) == _describe_answering(teacher.artifact):
            yield (
                f"**{same} is the teacher**: it has the teacher's files and runtime, so its verdict says "
                "nothing about another model. Check its `model`, `endpoint` and `steps`."
            )
        elif {model.artifact.kind, teacher.artifact.kind} == {ENDPOINT} and flips and not flips.changed:
            yield f"**{same} gives the teacher's answers** on every row. Check that it is another model."


def _describe_answering(artifact: ArtifactFacts) -> tuple[str, str, str]:
    """What decides the answers of a model: its files, the runtime and its options."""
    return artifact.digest, artifact.runtime, repr(sorted(artifact.runtime_params.items()))


def list_file_notes(record: RunRecord) -> Iterator[str]:
    """The judge's notes on the targets of files; each once, with the targets if not all have it."""
    models = list_variants(record)
    names_by_note: dict[str, list[str]] = {}
    for model in models:
        for note in model.notes:
            names_by_note.setdefault(note, []).append(model.name)
    for note, names in names_by_note.items():
        yield note if len(names) == len(models) else f"{', '.join(names)}: {note}"


def _note_prompt_faults(record: RunRecord) -> Iterator[str]:
    """Faults in how a variant is prompted."""
    for model in list_variants(record):
        for finding in model.behaviour.findings if model.behaviour else ():
            yield f"**{escape(model.name)}**: {escape(finding)}."


def _choose_variants(record: RunRecord, *, gated: bool) -> list[VariantRecord]:
    return [model for model in list_variants(record) if model.gated is gated]


def _note_self_test_doubts(record: RunRecord) -> Iterator[str]:
    """The doubts that the self-test leaves; its failures are verdicts."""
    self_test = record.self_test
    if self_test.identical is not None and self_test.identical.changed:
        changed = format_int(self_test.identical.changed)
        yield f"**A copy of the teacher gave other answers**: {changed} changed, so a run cannot be repeated."
    if (fault := self_test.undecided_fault) is not None:
        yield f"**The rows could not decide the planted fault** of the self-test: {escape(fault.message)}"
    of_models = not record.task.is_of_files  # a record of logs has no model to damage
    if self_test.identical is None and self_test.planted_fault is None and of_models:
        yield "The gate itself was not tested: no self-test has run."


def _note_missing_parts(record: RunRecord) -> Iterator[str]:
    """The missing parts of a record: variants of other shards, checks that have not run."""
    if len(record.shards) == 1:
        shard = record.shards[0]
        content = _join(shard.variants) or "none, for there are more shards than variants"
        head = f"**Shard {shard.number} of {shard.of}**: its variants are {content}"
        yield f"{head}; `slimgate merge` joins all shards."
    if carried := describe_carried(record):
        content = "; ".join(f"{escape(name)}: {results}" for name, results in list_carried(record))
        yield f"**Partial**: {carried}, which this run did not measure again: {content}."
    if record.verdict.missing:
        missing = format_count(record.verdict.missing, "check of the suite has", "checks of the suite have")
        yield f"**Partial**: {missing} not run yet; an en dash (–) marks a missing figure."
    budgeted = list_budgeted_metrics(record)
    for model in list_variants(record):
        if model.error is None and (lacking := list_unjudged_budgets(record, model, budgeted)):
            yield f"{escape(model.name)} has no verdict yet on {_join(lacking)}."


def _note_loosened_budgets(record: RunRecord) -> Iterator[str]:
    """Budgets that allow more than those of the baseline, with the reason that the suite gives.

    None if the report begins with them (`describe_weaker`); records of earlier versions have no such list.
    """
    baseline = record.baseline
    if baseline is None or baseline.weaker:
        return
    for budget in baseline.loosened:
        was = f"{escape(budget.kind)} {budget.before:g} in the baseline of {escape(baseline.created)}"
        name = f"{escape(budget.variant)}, {escape(budget.budget)}"
        why = escape(budget.reason or "no reason is given")
        yield f"**Loosened**: {name} had {was} and {budget.now}: {why}"


def _note_unpacked_weights(record: RunRecord) -> Iterator[str]:
    """Models that have no times because the kernels did not compute in their format."""
    for model in list_models(record):
        stored = model.artifact.stored if model.artifact else None
        if stored is not None and stored.computed == COMPUTED_UNPACKED:
            yield (
                f"**Not timed**: {escape(model.name)}. Its weights ({escape(stored.format)}, "
                f"{escape(stored.scheme)}) were unpacked to floating point to be judged, so its times and "
                "its memory would not be those of the format."
            )


def _note_switched_off_budgets(record: RunRecord) -> Iterator[str]:
    """Budgets of the suite that a variant does not have. Those of judged files are among their notes."""
    for model in () if record.task.is_of_files else list_variants(record):
        for words in format_switched_off(model):
            yield f"**Switched off** for {escape(model.name)}: {words}"


def _note_ungated_variants(record: RunRecord) -> Iterator[str]:
    if ungated := _choose_variants(record, gated=False):
        reasons = [
            add_note(escape(model.name), escape(model.reason or "no reason given")) for model in ungated
        ]
        yield f"Not gated, so these cannot fail the run: {'; '.join(reasons)}."


def _note_unbudgeted_metrics(record: RunRecord) -> Iterator[str]:
    free = list_unbudgeted_metrics(record)
    if free and list_variants(record):
        # the slices of logs of many tasks are hundreds
        yield f"No budget, so not gated: {list_names([escape(name) for name in free], _MOST_UNGATED)}."


def _note_fallen_slices(models: list[VariantRecord]) -> Iterator[str]:
    """The slice without a budget that lost most, if it lost more than the budget for all rows allows."""
    for model in models:
        slices = model.behaviour.slices if model.behaviour else []
        free = [part for part in slices or () if part.worst is None]
        fallen = [part for part in free if _is_beyond_budget(model, part)]
        if fallen and model.behaviour is not None:
            worst = max(fallen, key=lambda part: part.drop_points)
            where = f"{escape(worst.column)} {escape(worst.value)}"
            ends = ", ".join(format_fixed(value, 1) for value in worst.interval)
            drop = f"{format_fixed(worst.drop_points, 1)} points [{ends}]"
            more = format_count(len(fallen) - 1, "more slice", "more slices")
            further = f" {more} lost more than the budget for all rows allows." if len(fallen) > 1 else ""
            rows = format_count(worst.n, "row", "rows")
            loss = f"{escape(model.name)} lost {drop} of {escape(worst.metric)} on {where} ({rows})"
            budgets = ". No budget covers slices." if free == slices else " without a budget."
            free_slices = format_count(len(free), "slice", "slices")
            yield f"**{loss}**, the largest loss of its {free_slices}{budgets}{further}"


def _is_beyond_budget(model: VariantRecord, part: SliceFacts) -> bool:
    """Whether a slice surely lost more than the budget for all rows allows.

    Without such a budget: whether its loss is surely in the band "bad" of `choose_band`.
    """
    facts, least = model.quality.get(part.metric), part.interval[0]
    limits = [budget.limit for budget in facts.budgets if is_in_points(budget.kind)] if facts else []
    return least > min(limits) if limits else choose_band(least) == "bad"


def _note_broken_claims(models: list[VariantRecord]) -> Iterator[str]:
    """Steps whose promised compression is not real."""
    for model in models:
        for claim in model.claims:
            if claim.held is False:
                promise = f"{escape(model.name)}: {escape(claim.step)} promises {_PROMISES[claim.claim]}"
                yield f"**{promise} and does not deliver it**: {escape(claim.message)}."


def _note_missing_gain(record: RunRecord) -> Iterator[str]:
    """Variants that are no smaller, or slower, than the teacher."""
    sizes = {model.name: model.size.compression for model in list_variants(record) if model.size is not None}
    if large := [name for name, ratio in sizes.items() if ratio is not None and ratio <= 1.01]:
        yield f"Not smaller than the teacher: {_join(large)}."
    if slow := [line for model in list_variants(record) for line in _note_slower_variants(record, model)]:
        yield f"Slower than the teacher: {'; '.join(slow)}."


def _note_slower_variants(record: RunRecord, model: VariantRecord) -> Iterator[str]:
    """Slower variants by the duel, or by the medians without a duel. It names the first two workloads."""
    slower = list(_format_slower_workloads(record, model))
    yield from slower[:_MOST_SLOWER]
    if (left := len(slower) - _MOST_SLOWER) > 0:
        yield f"{escape(model.name)} on {format_count(left, 'more workload', 'more workloads')}"


def _format_slower_workloads(record: RunRecord, model: VariantRecord) -> Iterator[str]:
    """`int8, batch 1 (0.80× [0.70, 0.90] as fast)`, by workload."""
    for workload, facts in model.latency.items():
        before, after, how = find_median_ms(find_teacher(record), workload), facts.p50_ms, None
        if facts.speedup is not None and facts.speedup_interval is not None:
            how = describe_duel(facts) if facts.speedup_interval[1] < 1 else None
        elif before is not None and after is not None and after > _SLOWER * before:
            how = f"{format_significant(after)} against {format_significant(before)} ms"
        if how is not None:
            yield f"{escape(model.name)}, {describe_workload(workload)} ({how})"


def _note_busy_machine(record: RunRecord) -> Iterator[str]:
    """A duel times both models in turn, so a busy machine changes speed-ups less than milliseconds."""
    if warnings := record.machine.warnings:
        timed = any(model.latency for model in record.variants)
        effect = ": times in ms are less sure than speed-ups" if timed else ""
        yield f"The machine was not quiet ({escape('; '.join(warnings))}){effect}."


def _note_overlap(record: RunRecord) -> Iterator[str]:
    """Splits of which many rows are also in a later split."""
    for name, split in record.task.splits.items():
        share = split.dropped_overlap / max(1, split.n + split.dropped_overlap)
        if share >= _MUCH_OVERLAP:
            rows = format_count(split.dropped_overlap, "row", "rows")
            of_split = f"{rows} of {escape(name)} ({format_percent(share, 0)})"
            yield f"The data overlap: {of_split} are also in a later split, and were left out."


def _note_saturating_kernels(record: RunRecord) -> Iterator[str]:
    """int8 models whose products saturate on this processor."""
    if not has_saturating_sums(record.machine.instructions):
        return
    params_by_model = {
        model.name: [step.params for step in model.steps if isinstance(step.params, dict)]
        for model in list_variants(record)
    }
    wide = [
        model.name
        for model in list_variants(record)
        if any(params.get("reduce_range") is False for params in params_by_model[model.name])
        and not _has_float_products(model)
    ]
    if wide:
        yield (
            f"**int8 products of {_join(wide)} may have saturated**: this processor has no VNNI. A processor "
            "with VNNI gives other answers; reduce_range = true prevents this."
        )
    by_onednn = [
        model.name
        for model in list_variants(record)
        if model.artifact is not None
        and model.artifact.runtime == "ctranslate2"
        and any("int8" in str(params.get("quantization")) for params in params_by_model[model.name])
    ]
    if by_onednn:
        yield (
            f"**int8 products of {_join(by_onednn)} may have saturated**: this processor has no VNNI, and "
            "CTranslate2 may compute them by oneDNN; CT2_USE_MKL=1 in the environment avoids it."
        )


def _has_float_products(model: VariantRecord) -> bool:
    """Whether all products of a model are known to be of floats; then only a token table may be int8."""
    counted = model.flops
    if counted is None or counted.macs is None:
        return False
    types = counted.macs_by_type
    return sum(types.values()) == counted.macs and all("float" in operand for operand in types)


def _note_hidden_delay(record: RunRecord) -> Iterator[str]:
    """A delay that the duel did not see, if it leaves no verdict undecided and so is not shown above."""
    delay = record.self_test.planted_delay
    if delay is None or delay.message in record.verdict.messages:
        return
    if not delay.seen:
        yield "**The self-test could not detect any slow-down**: no speed-up of this run is proven."
    elif describe_delay(delay):
        yield f"The self-test {describe_delay(delay)}: smaller differences in speed are not proven."


def _note_unsteady_times(record: RunRecord) -> Iterator[str]:
    unsteady = [
        f"{escape(model.name)}, {describe_workload(workload)} (± {format_percent(spread, 0)})"
        for model in list_models(record)
        for workload, facts in model.latency.items()
        if (spread := (facts.std_ms or 0) / (facts.mean_ms or 1)) > _UNSTEADY
    ]
    if unsteady:
        busy = f"Times of a call varied by more than {format_percent(_UNSTEADY, 0)}"
        more = len(unsteady) - _MOST_UNSTEADY
        also = [f"and {format_int(more)} more"] if more > 0 else []
        yield f"{busy}: {'; '.join([*unsteady[:_MOST_UNSTEADY], *also])}."


def _list_judge_warnings(record: RunRecord) -> Iterator[str]:
    """The judge's warnings on the rows, each once, with the metrics that it concerns."""
    metrics_by_warning: dict[str, list[str]] = {}
    for model in record.variants:
        for name, facts in model.quality.items():
            for warning in facts.warnings:
                metrics_by_warning.setdefault(warning, []).append(name)
    for warning, names in metrics_by_warning.items():
        yield f"{_join(names)}: {escape(warning)}."


def _note_new_heads(record: RunRecord) -> Iterator[str]:
    """Models whose head was fitted on loading and not trained since. No folder of a user has that head."""
    for model in list_models(record):
        head = find_new_head(model)
        if head is not None and not any(read_epochs(step) for step in model.steps):
            how = f"**{escape(model.name)} has a new head** ({escape(head)} on the train rows)"
            yield f"{how}: what is judged here is not what its files alone would answer."


def _list_step_warnings(record: RunRecord) -> Iterator[str]:
    """The warnings of the build steps."""
    for model in record.variants:
        for step in model.steps:
            inner = (log for log in step.log.values() if isinstance(log, Mapping))  # logs of steps in a step
            for warning in dict.fromkeys(log["warning"] for log in (step.log, *inner) if log.get("warning")):
                yield f"{escape(model.name)}, {escape(step.name)}: {escape(warning)}."


def _join(names: Iterable[str]) -> str:
    return ", ".join(escape(name) for name in dict.fromkeys(names))
