"""KL logs as judged files: budgets on KL, in logs that hold base and target."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

import numpy as np

from slimgate._system.timestamps import format_now
from slimgate.errors import DataError
from slimgate.judge.budget_kinds import QualityBudget, list_actions
from slimgate.judge.budget_tables import LimitBudget
from slimgate.judge.facts import add_actions
from slimgate.judge.kl_log import ChunkMeans, compute_figures, judge_chunks
from slimgate.judge.message import describe_undecided, format_share_above
from slimgate.logs.file_budgets import FileBudgets
from slimgate.logs.judged import JudgedFiles, digest_logs
from slimgate.plugins.reader import KlChunks, Log
from slimgate.record.budgets import PERPLEXITY
from slimgate.record.comparing.demands import is_other_base
from slimgate.record.run import VariantRecord
from slimgate.record.task import KL_LOGS, TaskFactsRecord
from slimgate.report.tool_files import KL_WORDS
from slimgate.results.base import BudgetFacts, OnInconclusive, Verdict, find_worst_verdict
from slimgate.results.checks import TEACHER
from slimgate.results.tool_logs import KlFigure


class JudgedKlLogs(JudgedFiles):
    """Each log compares its target with the base that it was written with."""

    def __init__(
        self,
        logs: Mapping[str, Log],
        budgets: Mapping[str, FileBudgets],
        on_inconclusive: OnInconclusive,
    ) -> None:
        self.targets = {name: _judge_log(name, logs, budgets[name], on_inconclusive) for name in logs}
        self._logs = list(logs.values())

    @property
    def base_name(self) -> str:
        return "the base of its log"

    def build_base_record(self) -> VariantRecord:
        return VariantRecord(name=TEACHER, parent=None)

    def build_task_facts(self) -> TaskFactsRecord:
        return TaskFactsRecord(
            kind=KL_LOGS,
            params={"targets": sorted(self.targets)},
            source={
                "name": ", ".join(dict.fromkeys(log.tool for log in self._logs)),
                "files": digest_logs(self._logs),
            },
            real=True,
            classes=[],
            splits={},
        )


def _describe_other_bases(name: str, logs: Mapping[str, Log]) -> list[str]:
    """A note if the log of a target is of another text or base than the first log."""
    first, other = (log.kl for log in (next(iter(logs.values())), logs[name]))
    assert first is not None
    assert other is not None
    perplexity, other_perplexity = first.base_perplexity, other.base_perplexity
    if len(first.kl) != len(other.kl):
        pair = f"{len(other.kl):,} chunks", f"{len(first.kl):,}"
    elif perplexity and other_perplexity and is_other_base(perplexity, other_perplexity):
        pair = f"a base of perplexity {other_perplexity:.6g}", f"{perplexity:.6g}"
    else:
        return []
    return [
        f"{name}: its log has {pair[0]}, and the log of {next(iter(logs))} has {pair[1]}: they are of "
        "different texts or bases, so do not compare their figures with each other"
    ]


def _judge_log(
    name: str, logs: Mapping[str, Log], budgets: FileBudgets, on_inconclusive: OnInconclusive
) -> VariantRecord:
    log = logs[name]
    assert log.kl is not None
    chunks = _check_chunks(log.kl, log.shown)
    notes = _describe_other_bases(name, logs)
    limits: list[LimitBudget | QualityBudget] = [*budgets.limits.quality.get(PERPLEXITY, ())]
    for table in budgets.limits.behaviour.tokens.values():
        limits += table
    known = compute_figures(chunks)
    judged = [judge_chunks(chunks, limit, known) for limit in limits]
    actions = list_actions(limits, on_inconclusive)
    facts = {
        "chunks": len(chunks.kl),
        "figures": known,
        "quantiles": dict(log.kl.quantiles),
        "base_perplexity": log.kl.base_perplexity,
        "budgets": add_actions(judged, actions),
        "verdict": find_worst_verdict([verdict.verdict for verdict in judged]),
        "message": f"{name}: {'; '.join(_format_line(verdict, known) for verdict in judged)}"
        if judged
        else None,
        "measured": format_now(),
    }
    return VariantRecord.model_validate(
        {"name": name, "parent": log.model, "kl_log": facts, "notes": [*budgets.notes, *log.notes, *notes]}
    )


def _check_chunks(kl: KlChunks, shown: str) -> ChunkMeans:
    """The values by chunk as arrays. Raises DataError for values that no such log can have."""
    columns = {name: np.asarray(getattr(kl, name), np.float64) for name in ("kl", "log_ratio", "same_top")}
    sizes = {name: len(values) for name, values in columns.items()}
    if len(set(sizes.values())) > 1 or sizes["kl"] < 2:
        actual = ", ".join(f"{size} of {name}" for name, size in sizes.items())
        raise DataError(f"{shown}: {actual} was given, expected a value of each for at least 2 chunks")
    base = kl.base_perplexity
    if base is not None and not 0 < base < inf:
        raise DataError(f"{shown}: the perplexity of the base is {base:g}, expected a finite number above 0")
    for name, values in columns.items():
        if not np.isfinite(values).all():
            chunk = int(np.argmin(np.isfinite(values))) + 1
            raise DataError(
                f"{shown}: {name} of chunk {chunk} is {values[chunk - 1]:g}, expected a finite number: one "
                "of the models gives a token of the text the probability 0, or NaN"
            )
    shares = columns["same_top"]
    if shares.min() < 0 or shares.max() > 1:
        raise DataError(
            f"{shown}: same_top has {shares.min():g} to {shares.max():g}, expected shares of 0 to 1"
        )
    return ChunkMeans(**columns, quantiles=(kl.quantiles.get("p99"), kl.quantiles.get("p999")))


def _format_line(judged: BudgetFacts, known: Mapping[str, KlFigure]) -> str:
    words = KL_WORDS[judged.kind]
    if judged.kind not in known:
        value = "not printed" if judged.value is None else f"{judged.value:.4g}"
        why = "the log has no interval of it, so no log decides this budget: use mean_max"
        return f"{words} {value}, budget {judged.limit:g}: {judged.verdict}, {why}"
    figure = known[judged.kind]
    low, high = figure.interval
    rows = "" if judged.n_needed is None else f"about {judged.n_needed:,} chunks would decide"
    undecided = describe_undecided([judged]) if judged.verdict is Verdict.INCONCLUSIVE else ""
    more = f", {undecided}{rows}" if undecided or rows else ""
    above = "" if judged.capped is None else f", {format_share_above(judged.capped)}"
    limit = f"{'floor' if judged.kind == 'floor' else 'budget'} {judged.limit:g}"
    return f"{words} {figure.value:.4g} [{low:.4g}, {high:.4g}], {limit}{above}: {judged.verdict}{more}"
