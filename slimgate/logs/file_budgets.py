"""A file of budgets, as `slimgate judge --budgets` and suites of logs read it for files of every kind.

[budgets]                    # limits by metric, by pattern or by table, such as latency
[budgets.variants.int4]      # of one target: each limit replaces the common one of its name and kind
[pooled]                     # only of logs of answers; see `budgets`
[ranges]                     # only of logs of answers

One rule holds for all kinds: a budget that files of that kind cannot be judged by is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slimgate._system.toml import format_value
from slimgate.errors import SuiteError, format_suggestion
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.budget_tables import LABEL, TOKEN_TABLES, BehaviourBudgets
from slimgate.judge.latency_budgets import TTFT_P95
from slimgate.judge.load_tests import PART_OF_SPEEDUP
from slimgate.logs.budgets import POOLED, RANGES, LogBudgets, parse_budget_tables, read_limits
from slimgate.logs.slice_budgets import SLICES, read_slice_budgets
from slimgate.plugins.workloads import LoadPart
from slimgate.record.budgets import PERPLEXITY
from slimgate.results.base import SwitchedOffBudget
from slimgate.results.checks import LATENCY
from slimgate.suite.budget_units import ask_about_quality, ask_about_speed
from slimgate.suite.budgets import EXAMPLES, OVER, list_variant_tables, resolve_budgets
from slimgate.suite.errors import Loc, find_value, make_suite_error
from slimgate.suite.file import read_suite_text
from slimgate.suite.tables import SuiteFile
from slimgate.suite.variant_budgets import VariantBudgets, read_switched_off

if TYPE_CHECKING:
    from slimgate.logs.comparisons import Comparison

FileKind = Literal["logs of answers", "prediction files", "load tests", "KL logs"]
ANSWERS: FileKind = "logs of answers"
PREDICTIONS: FileKind = "prediction files"
LOADS: FileKind = "load tests"
KL: FileKind = "KL logs"
# The budgets that files of each kind can be judged by, with an example.
JUDGED_BY: Mapping[FileKind, str] = {
    ANSWERS: 'metrics and slices, such as "*" = { drop_points = 2.0 }',
    PREDICTIONS: "metrics, flips and slices, such as accuracy = { drop_points = 2.0 }",
    LOADS: "latency, such as latency = { speedup_min = 1.2 }",
    KL: "kl, top1_agreement and perplexity, such as kl = { mean_max = 0.02 }",
}
# The budgets on the target's own times that the requests of a load test decide.
PART_OF_LIMIT: Mapping[str, LoadPart] = {"p50_ms_max": "answer", "p95_ms_max": "answer", TTFT_P95: "ttft"}
_TABLES = ("budgets", POOLED, RANGES)
_OF_MODELS = ("teacher", "family")
_CHANGES = ("flips", SLICES)


@dataclass(frozen=True)
class FileBudgets:
    """The budgets of one target.

    answers: on the comparisons of logs of answers.
    limits: on files of the other kinds.
    notes: about the file, such as the budgets that it switches off.
    switched_off: the budgets that are switched off.
    common: on comparisons of logs, without what the target's own table changes.
    """

    answers: LogBudgets = field(default_factory=LogBudgets)
    limits: VariantBudgets = field(default_factory=VariantBudgets)
    notes: tuple[str, ...] = ()
    switched_off: tuple[SwitchedOffBudget, ...] = ()
    common: LogBudgets = field(default_factory=LogBudgets)

    def list_switched_off(self, comparisons: Iterable[Comparison]) -> list[SwitchedOffBudget]:
        """The budgets that are switched off as they are written, and one for each comparison without them.

        A comparison has one if the pattern decided it, and if it has no other budget of this kind now.
        """
        return [
            *self.switched_off,
            *(
                replace(off, budget=comparison.name)
                for off in self.switched_off
                for comparison in comparisons
                if off.kind not in {budget.kind for budget in comparison.budgets}
                and off.budget != comparison.name
                and off.budget == self.common.find_deciding_pattern(comparison.key, off.kind)
            ),
        ]

    @property
    def has_limit(self) -> bool:
        """Whether anything is limited."""
        behaviour = self.limits.behaviour != BehaviourBudgets()
        return self.answers.has_limit or bool(self.limits.quality or self.limits.on_times) or behaviour


def read_budget_tables(path: Path) -> Mapping[str, object]:
    """[budgets], [pooled] and [ranges] of a TOML file, which may be a suite: its other tables are left out.

    Raises SuiteError for a file that cannot be read, and for a table that no suite has.
    """
    tables = read_suite_text(path, str(path)).data
    of_suites = {*SuiteFile.model_fields, "logs"} - {"budgets"}
    return _check_tables({name: table for name, table in tables.items() if name not in of_suites}, str(path))


def _check_tables(tables: Mapping[str, object], shown: str) -> Mapping[str, object]:
    for name in tables:
        if name == "variants":
            raise SuiteError(
                f"{shown}: no table [variants] here; budgets of one target are in [budgets.variants.NAME], "
                'where "off" with a reason switches a budget off'
            )
        if name not in _TABLES:
            raise SuiteError(
                f"{shown}: no table [{name}] here; a budget is a line in [budgets], such as "
                f'"gsm8k*" = {{ drop_points = 1 }}{format_suggestion(name, _TABLES)}'
            )
    return tables


def read_file_budgets(
    tables: Mapping[str, object],
    kind: FileKind,
    target: str,
    shown: str,
    *,
    targets: Collection[str] | None = None,
) -> FileBudgets:
    """The budgets of one target.

    Args:
        tables: The tables of the file, without those of a suite.
        kind: The kind of the files.
        target: The name of the target.
        shown: The file of budgets, for messages.
        targets: The names that [budgets.variants] may have. None: any name, because the file may have
            budgets of models that are not judged now.

    Raises:
        SuiteError: For a table or a budget that files of this kind cannot be judged by, and for none at all.
    """
    _check_tables(tables, shown)
    budgets = tables.get("budgets", {})
    if not isinstance(budgets, Mapping):
        raise SuiteError(f"{shown} budgets: {format_value(budgets)} was given, expected a table [budgets]")
    if kind != ANSWERS:
        for name in (POOLED, RANGES):
            if name in tables:
                raise _refuse(kind, (name,), tables, shown)
    names = targets
    if names is None:
        stated = budgets.get("variants")
        names = (*(stated if isinstance(stated, Mapping) else ()), target)
    of_target = list_variant_tables(tables, names, shown)
    places: list[Loc] = [("budgets",), *([("budgets", "variants", target)] if target in of_target else [])]
    for place in places:
        _check_keys(kind, place, tables, shown)
    if kind == ANSWERS:
        limits = _read_patterns(tables, budgets, target, shown)
    else:
        limits = _read_limits(tables, target, shown, tuple(names), kind)
    if not limits.has_limit and not limits.switched_off:
        raise SuiteError(f"{shown}: expected [budgets]; {kind} are judged by {JUDGED_BY[kind]}")
    notes = [*_describe_switched_off(limits, target, shown)]
    if targets is None and of_target and target not in of_target:
        notes.append(
            f"{shown} has budgets for {', '.join(of_target)} but none for {target} (the name of the "
            "target's file): the common budgets are judged"
        )
    notes += _ask_about_units(limits, shown)
    return replace(limits, notes=tuple(notes))


def _describe_switched_off(limits: FileBudgets, target: str, shown: str) -> Iterator[str]:
    """A note for each budget that is switched off, then one for each that leaves narrower patterns."""
    for off in limits.switched_off:
        yield f"{shown} switches off {off.budget} {off.kind} {off.limit:g} for {target}: {off.reason}"
    for off in limits.switched_off:
        narrower = [
            pattern
            for pattern, of_pattern in limits.answers.patterns
            if of_pattern and pattern != off.budget and fnmatchcase(pattern, off.budget)
        ]
        if narrower:
            patterns = ", ".join(narrower)
            yield f"{shown} switches off {off.budget} for {target}, but not the narrower {patterns}"


def _ask_about_units(limits: FileBudgets, shown: str) -> Iterator[str]:
    """A question for each limit that looks as if it was written in another unit."""
    yield from dict.fromkeys(
        f"{shown} {budget.kind} {budget.limit:g}: {question}"
        for budget in _list_quality_budgets(limits)
        for question in ask_about_quality(budget)
    )
    for speed in limits.limits.on_times:
        for question in ask_about_speed(speed):
            yield f"{shown} {LATENCY} {speed.kind} {speed.limit:g}: {question}"


def _list_quality_budgets(budgets: FileBudgets) -> Iterator[QualityBudget]:
    """All budgets on metrics, of every kind of file."""
    for _, of_pattern in budgets.answers.patterns:
        yield from of_pattern
    yield from budgets.answers.pooled
    for of_slices in budgets.answers.slices:
        yield from of_slices.budgets
    for of_metric in budgets.limits.quality.values():
        yield from of_metric


def _refuse(kind: FileKind, loc: Loc, tables: Mapping[str, object], shown: str) -> SuiteError:
    """The error about a table that files of this kind are not judged by."""
    actual = format_value(find_value(tables, loc))
    problem = f"{actual} was given, but {kind} are judged by {JUDGED_BY[kind]}; leave it out"
    if kind == KL or loc[-1] in TOKEN_TABLES:
        problem += " (KL logs contain both models and have no base; files of two models have one)"
    return make_suite_error(shown, loc, tables, problem)


def _check_keys(kind: FileKind, place: Loc, tables: Mapping[str, object], shown: str) -> None:
    for key in find_value(tables, place) or ():
        if key == "variants" and len(place) == 1:
            continue
        if not _is_judged(kind, key):
            raise _refuse(kind, (*place, key), tables, shown)


def _is_judged(kind: FileKind, key: str) -> bool:
    """Whether files of this kind are judged by this key of [budgets], which may be a metric or a pattern."""
    if kind == LOADS:
        return key == LATENCY
    if kind == KL:
        return key in (*TOKEN_TABLES, PERPLEXITY)
    judged = (SLICES,) if kind == ANSWERS else _CHANGES
    return key in judged or key not in (*EXAMPLES, *_OF_MODELS)


def _read_patterns(
    tables: Mapping[str, object], budgets: Mapping[str, object], target: str, shown: str
) -> FileBudgets:
    """Reads the patterns of logs of answers, which no registry of metrics knows."""
    common_budgets = {name: table for name, table in budgets.items() if name != "variants"}
    common = parse_budget_tables({**tables, "budgets": common_budgets}, shown)
    variants = budgets.get("variants")
    if not isinstance(variants, Mapping) or target not in variants:
        return FileBudgets(common)
    loc = ("budgets", "variants", target)
    limits = common.limits
    table, off = read_switched_off(
        variants[target], limits, loc, tables, shown, make_key=lambda path, _, kind: (".".join(path), kind)
    )
    where = f"[budgets.variants.{target}"
    of_target = LogBudgets(
        tuple(
            (name, read_limits(value, f'{shown} {where}] "{name}"'))
            for name, value in table.items()
            if name != SLICES
        ),
        slices=read_slice_budgets(table[SLICES], shown, read_limits, where) if SLICES in table else (),
    )
    switched_off = tuple(SwitchedOffBudget(*key, limits[key], reason) for key, reason in off.items())
    return FileBudgets(common.with_target(of_target, off), switched_off=switched_off, common=common)


def _read_limits(
    tables: Mapping[str, object], target: str, shown: str, names: tuple[str, ...], kind: FileKind
) -> FileBudgets:
    """Reads a suite's tables for the other kinds. Raises SuiteError for a limit that they do not decide."""
    limits = resolve_budgets(tables, names, shown, without_builds=True)[target]
    for words, key in _list_unjudged(kind, limits):
        raise SuiteError(f"{shown} [budgets] {key} was given, but {words}; leave it out")
    return FileBudgets(limits=limits, switched_off=limits.switched_off)


def _list_unjudged(kind: FileKind, limits: VariantBudgets) -> Iterator[tuple[str, str]]:
    """The keys of a table of budgets that such files cannot decide: what the files decide, and the key."""
    for metric, budgets in limits.quality.items():
        for budget in budgets:
            if budget.over == "builds":
                yield f"{kind} come from one build of each model", f'{metric} {OVER} = "builds"'
            if kind == KL and budget.kind != "increase_relative":
                words = "KL logs decide increase_relative of perplexity"
                yield words, f"{metric} {budget.kind} = {budget.limit:g}"
    decided = (*PART_OF_SPEEDUP, *PART_OF_LIMIT)
    for limit in limits.on_times:
        if limit.kind not in decided:
            yield f"load tests decide {', '.join(decided)}", f"{LATENCY} {limit.kind} = {limit.limit:g}"
    for name in limits.behaviour.named_slices:
        if name.column != LABEL:
            yield (
                f"prediction files are sliced by {LABEL} (--slice {name.column} slices by this column; in a "
                'suite, format = "table" does)',
                f"{SLICES}.{name.column}",
            )
