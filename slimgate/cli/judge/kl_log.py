"""`slimgate judge FILE` on what `llama-perplexity --kl-divergence` printed: budgets on KL, in one file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from slimgate.cli.judge.exit_code import exit_code
from slimgate.errors import SuiteError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.budget_tables import LimitBudget
from slimgate.judge.decision import BudgetVerdict
from slimgate.judge.kl_log import ChunkMeans, Figure, figures, judge_chunks
from slimgate.judge.message import format_share_above
from slimgate.logs.kl_log import KlLog, read_kl_log
from slimgate.record import RunVerdict
from slimgate.record.run_verdict import format_verdict, verdict_of_budgets

_WORDS = {
    "mean_max": "mean KL, nats a token",
    "floor": "same likeliest token",
    "increase_relative": "perplexity grown by",
    "p99_max": "99 % of the tokens' KL up to",
    "p999_max": "99.9 % of the tokens' KL up to",
}
_UNITS = "intervals 90 %, by Gaffke's bound over chunks"


def judge_kl_log(options: argparse.Namespace) -> int:
    """Judges and prints. Raises SlimgateError for wrong input."""
    refused = (
        "metric",
        "drop_points",
        "equivalent_points",
        "pooled_points",
        "allow",
        "range",
        "repeat",
        "report",
    )
    for flag in (*refused, "format"):
        if getattr(options, flag):
            raise SuiteError(
                f"--{flag.replace('_', '-')} does not go with a KL log; write --budgets FILE.toml"
            )
    if options.looks != 1:
        raise SuiteError("--looks does not go with a KL log, whose chunks are all there")
    log = read_kl_log(options.teacher)
    budgets = [] if options.budgets is None else _budgets(options.budgets, options.teacher.stem)
    quantiles = log.quantiles.get("p99"), log.quantiles.get("p999")
    chunks = ChunkMeans(log.kl, log.log_ratio, log.same_top, quantiles)
    known, judged = figures(chunks), judge_chunks(chunks, budgets)
    actions = [budget.on_inconclusive or options.on_inconclusive for budget in budgets]
    verdicts = (budget.verdict for budget in judged)
    run_verdict = verdict_of_budgets(zip(verdicts, actions, strict=True))
    if options.json:
        sys.stdout.write(_as_json(log, known, judged, run_verdict) + "\n")
    else:
        sys.stdout.write("\n".join([*_as_text(log, known, judged), "", format_verdict(run_verdict)]) + "\n")
    return exit_code(options, {log.path.name: run_verdict})


def _budgets(path: Path, name: str) -> list[LimitBudget | QualityBudget]:
    from slimgate.suite.budgets import resolve_budgets
    from slimgate.suite.file import read_suite_text

    variant_budgets = resolve_budgets(read_suite_text(path, str(path)).data, (name,), str(path))[name]
    budgets: list[LimitBudget | QualityBudget] = [*variant_budgets.quality.get("perplexity", ())]
    for table in variant_budgets.behaviour.tokens.values():
        budgets += table
    if not budgets:
        raise SuiteError(
            f"{path} [budgets]: a KL log is judged by kl, top1_agreement and perplexity, such as "
            "kl = { mean_max = 0.02 }"
        )
    return budgets


def _as_text(log: KlLog, known: dict[str, Figure], judged: list[BudgetVerdict]) -> Iterator[str]:
    yield f"{log.path.name}: {len(log.kl)} chunks, {_UNITS}"
    by_kind = {budget.kind: budget for budget in judged}
    for kind, words in _WORDS.items():
        budget = by_kind.get(kind)
        if kind in known:
            yield f"{words} {_figure(known[kind])}{_verdict(budget)}"
        elif budget is not None:
            value = "not printed" if budget.value is None else f"{budget.value:.4g}"
            yield f"{words} {value}, budget {budget.limit:g}: INCONCLUSIVE, the log has no interval of it"


def _figure(figure: Figure) -> str:
    low, high = figure.interval
    return f"{figure.value:.4g} [{low:.4g}, {high:.4g}]"


def _verdict(budget: BudgetVerdict | None) -> str:
    if budget is None:
        return ": not gated"
    more = "" if budget.n_needed is None else f", about {budget.n_needed:,} chunks would tell"
    above = "" if budget.capped is None else f", {format_share_above(budget.capped)}"
    return (
        f", {'floor' if budget.kind == 'floor' else 'budget'} {budget.limit:g}{above}: {budget.verdict}{more}"
    )


def _as_json(log: KlLog, known: dict[str, Figure], judged: list[BudgetVerdict], verdict: RunVerdict) -> str:
    content = {
        "file": log.path.name,
        "chunks": len(log.kl),
        "figures": {kind: figure._asdict() for kind, figure in known.items()},
        "quantiles": dict(log.quantiles),
        "budgets": [asdict(budget) for budget in judged],
        "verdict": verdict.model_dump(mode="json", exclude={"missing"}),
    }
    return json.dumps(content, indent=1, ensure_ascii=False)
