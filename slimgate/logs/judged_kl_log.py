"""KL logs of llama-perplexity as judged files: budgets on KL, in logs that hold base and target."""

from __future__ import annotations

from collections.abc import Mapping

from slimgate._system.timestamps import format_now
from slimgate.judge.budget_kinds import OnInconclusive, QualityBudget, list_actions
from slimgate.judge.budget_tables import LimitBudget
from slimgate.judge.decision import BudgetVerdict
from slimgate.judge.facts import budget_facts
from slimgate.judge.kl_log import ChunkMeans, Figure, figures, judge_chunks
from slimgate.judge.message import format_share_above
from slimgate.judge.verdict import worst_verdict
from slimgate.logs.file_budgets import FileBudgets
from slimgate.logs.judged import JudgedFiles
from slimgate.logs.kl_log import KlLog
from slimgate.record import TaskFactsRecord, VariantRecord
from slimgate.record.budgets import PERPLEXITY
from slimgate.record.files import TEACHER
from slimgate.record.task import KL_LOGS
from slimgate.report.tool_files import KL_WORDS


class JudgedKlLogs(JudgedFiles):
    """Each log compares its target with the base that it was written with."""

    def __init__(
        self,
        logs: Mapping[str, KlLog],
        budgets: Mapping[str, FileBudgets],
        on_inconclusive: OnInconclusive,
    ) -> None:
        self.targets = {
            name: _judge_log(name, log, budgets[name], on_inconclusive) for name, log in logs.items()
        }
        self._files = [log.path.as_posix() for log in logs.values()]

    @property
    def base_name(self) -> str:
        return "the base of its log"

    def base_record(self) -> VariantRecord:
        return VariantRecord(name=TEACHER, parent=None)

    def task_facts(self) -> TaskFactsRecord:
        return TaskFactsRecord(
            kind=KL_LOGS,
            params={"targets": sorted(self.targets)},
            source={"name": "llama-perplexity --kl-divergence", "files": self._files},
            real=True,
            classes=[],
            splits={},
        )


def _judge_log(name: str, log: KlLog, budgets: FileBudgets, on_inconclusive: OnInconclusive) -> VariantRecord:
    quantiles = log.quantiles.get("p99"), log.quantiles.get("p999")
    chunks = ChunkMeans(log.kl, log.log_ratio, log.same_top, quantiles)
    limits: list[LimitBudget | QualityBudget] = [*budgets.limits.quality.get(PERPLEXITY, ())]
    for table in budgets.limits.behaviour.tokens.values():
        limits += table
    known, judged = figures(chunks), judge_chunks(chunks, limits)
    actions = list_actions(limits, on_inconclusive)
    facts = {
        "chunks": len(log.kl),
        "figures": {kind: figure._asdict() for kind, figure in known.items()},
        "quantiles": dict(log.quantiles),
        "budgets": [budget_facts(*pair) for pair in zip(judged, actions, strict=True)],
        "verdict": worst_verdict([verdict.verdict for verdict in judged]),
        "message": f"{name}: {'; '.join(_line(verdict, known) for verdict in judged)}" if judged else None,
        "measured": format_now(),
    }
    return VariantRecord.model_validate(
        {"name": name, "parent": None, "kl_log": facts, "notes": list(budgets.notes)}
    )


def _line(judged: BudgetVerdict, known: Mapping[str, Figure]) -> str:
    words = KL_WORDS[judged.kind]
    if judged.kind not in known:
        value = "not printed" if judged.value is None else f"{judged.value:.4g}"
        return f"{words} {value}, budget {judged.limit:g}: {judged.verdict}, the log has no interval of it"
    figure, (low, high) = known[judged.kind]
    more = "" if judged.n_needed is None else f", about {judged.n_needed:,} chunks would tell"
    above = "" if judged.capped is None else f", {format_share_above(judged.capped)}"
    limit = f"{'floor' if judged.kind == 'floor' else 'budget'} {judged.limit:g}"
    return f"{words} {figure:.4g} [{low:.4g}, {high:.4g}], {limit}{above}: {judged.verdict}{more}"
