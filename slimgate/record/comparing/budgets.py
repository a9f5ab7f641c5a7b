"""Budgets and verdicts of two releases: which limits changed, and which budgets no longer hold."""

from __future__ import annotations

from collections.abc import Container, Iterator

from slimgate.judge.budget_tables import TOKEN_TABLES
from slimgate.plugins.rows import CONFIRM
from slimgate.record.budgets import (
    Judged,
    clean_reason,
    is_looser,
    judge_under_limit,
    list_confirmed_budgets,
    list_judged_budgets,
)
from slimgate.record.comparing import weakenings
from slimgate.record.comparing.answers import has_same_gate_rows
from slimgate.record.comparing.base import find_worse_base
from slimgate.record.comparing.demands import read_demands
from slimgate.record.comparing.facts import BudgetChange, Outcome, VerdictChange
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.record.task import Sides
from slimgate.record.verdicts import Weakening
from slimgate.results.base import BudgetFacts, Verdict, find_worst_verdict, is_run_ending
from slimgate.results.quality import QualityFacts

# The name of a budget, as Judged.name has it, and its kind.
BudgetKey = tuple[str, str]
# Outcomes in the order in which changes to them are listed. None: the budget is gone.
_ORDER: tuple[Outcome | None, ...] = (
    Verdict.FAIL,
    "error",
    Verdict.INCONCLUSIVE,
    "not measured",
    None,
    Verdict.PASS,
)
# The name of the awaited result of a suite with budgets on flips or slices. It covers budgets on tokens too.
_FLIPS = "flips and slices"


def find_budget_changes(old: RunRecord, new: RunRecord) -> list[BudgetChange]:
    """Limits that changed, of the teacher and of variants in both releases; the looser limits come first."""
    changes = weakenings.find_budget_changes(
        read_demands(old), read_demands(new), accepted=_find_acceptance(new)
    )
    return [_add_former_verdict(change, new) for change in changes]


def _find_acceptance(record: RunRecord) -> str | None:
    """The reason for which a release was accepted with all of its changes; None if it was not."""
    return clean_reason(record.accepted.reason) if record.accepted else None


def _add_former_verdict(change: BudgetChange, record: RunRecord) -> BudgetChange:
    """If the limit is looser, adds the worst verdict that the former limit would give on the new figures."""
    before, after = change.before, change.after
    if before is None or after is None or not is_looser(change.kind, after, before):
        return change
    model = record.variant(change.variant)
    judged = [
        budget
        for budget in [*list_judged_budgets(model), *list_confirmed_budgets(model)]
        if change.budget in (budget.subject, budget.name) and budget.facts.kind == change.kind
    ]
    verdicts = [judge_under_limit(change.kind, before, budget) for budget in judged]
    known = [verdict for verdict in verdicts if verdict is not None]
    return change.model_copy(update={"under_before": find_worst_verdict(known)})


def find_weaker(old: RunRecord, new: RunRecord, *, tolerant: bool = False) -> list[Weakening]:
    """All ways in which the new record's gate demands less; those without a reason come first.

    tolerant: for a run that is only compared, and not kept as a baseline: it need not be confirmed yet, and
    its base may be a little worse, as in find_worse_base.
    """
    accepted = _find_acceptance(new)
    before, now = read_demands(old), read_demands(new)
    weaker = weakenings.find_weakenings(before, now, accepted=accepted)
    common = weakenings.find_common_reason(before, now, accepted)
    weaker += find_worse_base(old, new, accepted=common, tolerant=tolerant)
    if not tolerant:
        weaker += [
            Weakening(about="settings", change=line, reason=common) for line in _list_unconfirmed(old, new)
        ]
    if old.demands is not None and not old.task.is_of_files:
        return weaker
    weaker_tests = [
        Weakening(about="settings", change=line, reason=accepted) for line in describe_weaker_tests(old, new)
    ]
    return sorted([*weaker, *weaker_tests], key=lambda weakening: weakening.reason is not None)


def _list_unconfirmed(old: RunRecord, new: RunRecord) -> Iterator[str]:
    """A line for each metric that was judged on the confirm rows, and now on the gate rows alone."""
    if CONFIRM not in new.task.splits:  # the demands on the rows show this
        return
    for before, after in list_shared_variants(old, new):
        for metric in before.confirm:
            facts = after.quality.get(metric)
            if after.gated and facts is not None and facts.budgets and metric not in after.confirm:
                yield (
                    f"{after.name}: {metric} was judged on the confirm rows and is not now: run pytest "
                    f"{new.suite.path} --slimgate-confirm"
                )


def find_verdict_changes(old: RunRecord, new: RunRecord) -> list[VerdictChange]:
    """Verdicts that changed, for models in both releases; regressions come first."""
    changes = [
        change for before, after in _pair_models(old, new) for change in _compare_verdicts(before, after)
    ]
    return sorted(changes, key=lambda change: (not change.regressed, _ORDER.index(change.after)))


def list_missing_gates(old: RunRecord, names: Container[str]) -> list[str]:
    """Variants of a record that had budgets and are not among `names`, so that nothing judges them."""
    return [model.name for model in old.variants[1:] if model.gated and model.name not in names]


def describe_weaker_tests(old: RunRecord, new: RunRecord) -> list[str]:
    """Lines on budgets whose limit is the same and whose test is weaker: its groups, runs, builds or slices.

    The lines are read from the results, for records without the demands of a suite. Rows of different groups
    count as independent, so smaller groups make intervals narrower. The demands of judged files include the
    caps.
    """
    lines: dict[str, None] = {}
    same_rows, of_files = has_same_gate_rows(old, new), new.task.is_of_files
    for before, after in _pair_models(old, new):
        if not after.gated:
            continue
        for name, facts in after.quality.items():
            was = before.quality.get(name)
            if was is not None and facts.budgets:
                lines |= dict.fromkeys(_list_weaker_groups(name, was, facts, same_rows=same_rows))
                lines |= dict.fromkeys(_list_weaker_runs(name, was, facts, new.task.sides))
                lines |= dict.fromkeys(_list_weaker_builds(name, was, facts))
                if not of_files:
                    lines |= dict.fromkeys(_list_weaker_caps(name, was.budgets, facts.budgets))
        if before.behaviour is not None and after.behaviour is not None:
            lines |= dict.fromkeys(_list_weaker_caps("kl", before.behaviour.budgets, after.behaviour.budgets))
        if any(judged.subject == "slices" for judged in list_judged_budgets(after)):
            judged_columns = _list_judged_columns(after)
            for column in _list_judged_columns(before):
                if column not in judged_columns:
                    lines[f"the slices of {column} are not judged any more"] = None
    return list(lines)


def _list_weaker_groups(name: str, was: QualityFacts, now: QualityFacts, *, same_rows: bool) -> Iterator[str]:
    """A line if the rows have no groups any more, or smaller groups on the same rows."""
    if was.groups is None:
        return
    before = f"{name} was judged in {was.groups:,} groups of rows"
    if now.groups is None:
        yield f"{before} and is judged row by row now"
    elif same_rows and now.groups > was.groups:
        yield f"{before} and is judged in {now.groups:,} smaller groups now"


def _list_weaker_runs(name: str, was: QualityFacts, now: QualityFacts, sides: Sides) -> Iterator[str]:
    """A line if a side has one run instead of several: the interval then ignores changes between runs."""
    for side, before, after in zip(sides, was.runs or (1, 1), now.runs or (1, 1), strict=True):
        if before > 1 and after == 1:
            yield f"{name} was judged over {before} runs of the {side} and is judged on one run now"


def _list_weaker_builds(name: str, was: QualityFacts, now: QualityFacts) -> Iterator[str]:
    builds = max((budget.builds or 1 for budget in was.budgets), default=1)
    # A budget over 1 build is still over builds, which are all equal because no step is random now.
    if builds > 1 and all(budget.builds is None for budget in now.budgets):
        yield f"{name} was judged over {builds} builds and is judged on one build now"


def _list_weaker_caps(name: str, was: list[BudgetFacts], now: list[BudgetFacts]) -> Iterator[str]:
    """A line for each budget that now lets a larger share of rows lose more than the cap.

    A limit of this share counts if the suite states it, not if it is derived from the budget.
    """
    before = {budget.kind: budget.capped for budget in was}
    for budget in now:
        old, new = before.get(budget.kind), budget.capped
        if old is not None and new is not None and not new.derived and new.above_max > old.above_max:
            yield (
                f"{name} {budget.kind} lets {100 * new.above_max:.2g} % of the rows lose more than the cap, "
                f"and let {100 * old.above_max:.2g} %"
            )


def _list_judged_columns(model: VariantRecord) -> list[str]:
    slices = model.behaviour.slices if model.behaviour is not None else None
    return list(dict.fromkeys(part.column for part in slices or () if part.verdict is not None))


def list_shared_variants(old: RunRecord, new: RunRecord) -> list[tuple[VariantRecord, VariantRecord]]:
    """The variants that are in both releases, in the order of the new one; the teacher is not included."""
    before = {model.name: model for model in old.variants[1:]}
    return [(before[model.name], model) for model in new.variants[1:] if model.name in before]


def _pair_models(old: RunRecord, new: RunRecord) -> list[tuple[VariantRecord, VariantRecord]]:
    """The pair of teachers, then the pairs of variants that are in both releases."""
    return [(old.variants[0], new.variants[0]), *list_shared_variants(old, new)]


def _map_gating_budgets(model: VariantRecord) -> dict[BudgetKey, Judged]:
    """(budget, kind) -> judged budget; empty for a variant that is not gated.

    A budget that passed on the gate rows, and does not pass on the confirm rows, has the latter verdict.
    """
    if not model.gated:
        return {}
    budgets = {(judged.name, judged.facts.kind): judged for judged in list_judged_budgets(model)}
    for judged in list_confirmed_budgets(model):
        key = judged.name, judged.facts.kind
        on_gate = budgets.get(key, judged)
        if find_worst_verdict([on_gate.facts.verdict, judged.facts.verdict]) is not on_gate.facts.verdict:
            budgets[key] = judged
    return budgets


def _compare_verdicts(before: VariantRecord, after: VariantRecord) -> Iterator[VerdictChange]:
    olds, news = _map_gating_budgets(before), _map_gating_budgets(after)
    for key in dict.fromkeys([*olds, *news]):
        old, new, limits = olds.get(key), news.get(key), None
        was, now = _find_outcome(before, old, new), _find_outcome(after, new, old)
        if was == now:
            continue
        if old is not None and new is not None and old.facts.limit != new.facts.limit:
            limits = old.facts.limit, new.facts.limit
        yield VerdictChange(
            variant=after.name,
            budget=key[0],
            kind=key[1],
            before=was,
            after=now,
            regressed=not _is_only_warning(new)
            and _is_regression(was, _judge_by_former_limit(now, new, limits)),
            limits=limits,
            message=after.error if now == "error" else new and new.message,
        )


def _judge_by_former_limit(
    now: Outcome | None, new: Judged | None, limits: tuple[float, float] | None
) -> Outcome | None:
    """The verdict by the former limit if that is looser: a stricter limit alone is not a regression."""
    if new is None or limits is None or not is_looser(new.facts.kind, *limits):
        return now
    return judge_under_limit(new.facts.kind, limits[0], new) or now


def _is_only_warning(judged: Judged | None) -> bool:
    """Whether a budget is undecided and does not fail the run."""
    if judged is None or judged.facts.verdict is not Verdict.INCONCLUSIVE:
        return False
    return not is_run_ending(judged.facts.verdict, judged.facts.on_inconclusive)


def _is_regression(was: Outcome | None, now: Outcome | None) -> bool:
    """Whether a budget held before and does not hold now, or was undecided and now fails."""
    if was is Verdict.PASS:
        return now not in (None, Verdict.PASS)
    return was is Verdict.INCONCLUSIVE and now in (Verdict.FAIL, "error")


def _find_outcome(model: VariantRecord, judged: Judged | None, other: Judged | None) -> Outcome | None:
    """The verdict of a budget, or why there is no verdict; None if the suite does not have the budget.

    other: the same budget in the other release.
    """
    if judged is not None:
        return judged.facts.verdict
    if not model.gated or other is None:
        return None
    if not _is_awaited(model, other):
        return None
    return "error" if model.error is not None else "not measured"


def _is_awaited(model: VariantRecord, judged: Judged) -> bool:
    """Whether the suite has this budget for the model, and the run did not judge it."""
    if judged.subject not in ("flips", "slices", *TOKEN_TABLES):
        return judged.name in model.awaited
    return any(judged.subject in words.split(" and ") for words in model.awaited) or _FLIPS in model.awaited
