"""`slimgate portability SUITE VARIANT`: does a model answer the same if instructions are missing?"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from slimgate.cli.parser import add_store, choose_store_root

if TYPE_CHECKING:
    from slimgate.judge.behaviour import BehaviourJudgement
    from slimgate.outcomes import Outcomes
    from slimgate.run.run import SuiteRun

DESCRIPTION = """\
Checks whether a variant also passes on processors with fewer instructions. slimgate computes the answers to
the gate rows as such a processor would, and judges them by the variant's budgets. A budget on flips also
limits the rows that turn wrong between this processor and the other. On a processor without VNNI, int8
products of oneDNN (PyTorch) and ONNX Runtime saturate. PyTorch and OpenVINO models answer in a separate
process with ONEDNN_MAX_CPU_ISA. ONNX Runtime has no such switch, so its models are built again with
reduce_range. Models of other runtimes cannot be checked. Models come from the store; missing models are
built. Exit codes: 0 all budgets that can be judged here hold everywhere; 1 one does not hold or cannot be
decided, or there is none; 4 wrong usage or input.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = DESCRIPTION
    parser.add_argument("suite", type=Path, metavar="SUITE", help="A suite file")
    parser.add_argument("variant", metavar="VARIANT", help="A variant's name")
    add_store(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Answers under each setting and prints what changed. Raises SlimgateError for wrong input."""
    from slimgate._system.processor import describe_processor
    from slimgate.errors import SuiteError, format_suggestion
    from slimgate.run.portability import list_settings, predict_under
    from slimgate.run.run import SuiteRun
    from slimgate.store.store import Store
    from slimgate.suite.reader import load_suite

    suite = load_suite(options.suite.absolute(), str(options.suite))
    name = options.variant
    if name not in suite.variants:
        raise SuiteError(f'{suite.shown}: "{name}" is not a variant{format_suggestion(name, suite.variants)}')
    suite_run = SuiteRun(suite, Store(choose_store_root(options).resolve()), device="cpu")
    rows = len(suite_run.rows.gate)
    _print_lines(
        f"{suite.shown}: {name}, {rows:,} gate rows under each setting", *_describe_left_out(suite_run, name)
    )
    settings = list_settings(suite_run, name)
    outcomes = suite_run.measure_outcomes(name)
    lines, holds = _judge_answers(suite_run, name, outcomes)
    _print_lines("", f"This processor: {describe_processor('cpu', threads=suite.threads)}", *lines)
    failed = [] if holds else ["this processor"]
    for setting in settings:
        other_outcomes = predict_under(suite_run, name, setting)
        changes, flips_hold = _compare_processors(suite_run, name, outcomes, other_outcomes)
        lines, holds = _judge_answers(suite_run, name, other_outcomes)
        _print_lines("", setting.name, *changes, *lines)
        failed += [] if flips_hold and holds else [setting.name]
    is_judged = _has_budgets(suite_run, name)
    _print_lines("", _describe_conclusion(name, failed, is_judged=is_judged))
    return 1 if failed or not is_judged else 0


def _print_lines(*lines: str) -> None:
    from slimgate._system.escape import write_lines

    write_lines(sys.stdout, lines)
    sys.stdout.flush()


def _describe_left_out(suite_run: SuiteRun, name: str) -> list[str]:
    from slimgate.results.checks import BASELINE

    budgets, over_builds = suite_run.suite.budgets[name].drop_over_builds()
    names_by_reason = {
        "because they need the probabilities of all tokens": budgets.behaviour.tokens,
        'because over = "builds" needs several builds': over_builds,
        "because no baseline is read": [f"{BASELINE} {metric}" for metric in budgets.baseline],
    }
    lines = [f"not judged here: {', '.join(names)}, {why}" for why, names in names_by_reason.items() if names]
    if suite_run.suite.family is not None and budgets.quality:
        lines.append("each budget is judged alone, without the correction over variants of [budgets] family")
    return lines


def _judge_answers(suite_run: SuiteRun, name: str, answers: Outcomes) -> tuple[list[str], bool]:
    """A line for each budget on the answers, compared with the teacher's; whether all of them hold."""
    from slimgate.judge.behaviour import judge_behaviour
    from slimgate.judge.behaviour_message import format_behaviour_message
    from slimgate.judge.message import format_message
    from slimgate.judge.metrics import load_metric
    from slimgate.judge.quality import judge_quality
    from slimgate.results.base import Verdict
    from slimgate.results.checks import TEACHER
    from slimgate.run.slicing import find_column_slices

    suite, teacher = suite_run.suite, suite_run.measure_outcomes(TEACHER)
    budgets, _ = suite.budgets[name].drop_over_builds()
    judged = [
        judge_quality(load_metric(metric), teacher, answers, quality_budgets, seed=suite.seed)
        for metric, quality_budgets in budgets.quality.items()
    ]
    behaviour = judge_behaviour(
        teacher,
        answers,
        replace(budgets.behaviour, tokens={}),
        metrics={metric: load_metric(metric) for metric in budgets.behaviour.sliced_metrics},
        column_slices=find_column_slices(suite.setup, suite_run.rows.gate),
    )
    lines = [f"  {format_message(name, judgement)}" for judgement in judged]
    verdicts = [judgement.verdict for judgement in judged]
    if behaviour.budgets:
        lines.append(f"  {format_behaviour_message(name, behaviour)}")
        verdicts.append(behaviour.verdict)
    return lines, all(verdict is Verdict.PASS for verdict in verdicts)


def _compare_processors(
    suite_run: SuiteRun, name: str, outcomes: Outcomes, other_outcomes: Outcomes
) -> tuple[list[str], bool]:
    """The changes between two processors, and whether a budget on flips holds for them."""
    from slimgate.judge.behaviour import judge_behaviour
    from slimgate.judge.behaviour_message import format_behaviour_message
    from slimgate.judge.budget_tables import BehaviourBudgets
    from slimgate.results.base import Verdict

    changed = int(outcomes.changed_rows(other_outcomes).sum())
    lines = [f"  {changed:,} answers differ from this processor's ({100 * changed / len(outcomes):.1f} %)"]
    flips = suite_run.suite.budgets[name].behaviour.flips
    judged: BehaviourJudgement = judge_behaviour(
        outcomes, other_outcomes, BehaviourBudgets(flips=flips), metrics={}
    )
    if judged.flips is not None:
        lines.append(f"  {format_behaviour_message('from this processor', judged)}")
    return lines, judged.verdict in (None, Verdict.PASS)


def _has_budgets(suite_run: SuiteRun, name: str) -> bool:
    """Whether a budget on the answers can be judged here."""
    from slimgate.judge.budget_tables import BehaviourBudgets

    budgets, _ = suite_run.suite.budgets[name].drop_over_builds()
    return bool(budgets.quality) or budgets.behaviour != BehaviourBudgets(tokens=budgets.behaviour.tokens)


def _describe_conclusion(name: str, failed: list[str], *, is_judged: bool) -> str:
    if not is_judged:
        return f"{name} has no budget on its answers that can be judged here, so nothing is judged"
    if not failed:
        return f"{name}: all judged budgets hold under each setting"
    return f"{name}: a budget does not hold, or is not decided: {'; '.join(failed)}"
