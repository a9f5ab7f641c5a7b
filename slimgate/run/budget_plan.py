"""Plans, before anything is built, whether the gate rows can decide each budget on quality."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, log, nan
from typing import NamedTuple

import numpy as np

from slimgate.budgets.registry import is_in_points, is_two_sided_kind
from slimgate.data.parts import number_texts
from slimgate.data.same_texts import join_groups
from slimgate.errors import list_names
from slimgate.judge.budget_kinds import (
    QualityBudget,
    compute_allowed_drop,
    list_point_limits,
)
from slimgate.judge.budget_tables import LimitBudget
from slimgate.judge.capped import WORST
from slimgate.judge.metrics import load_metric
from slimgate.judge.perplexity import choose_growth_cap
from slimgate.judge.power import CONVERTED, TRAINED, Outlook, Word, make_drop_outlook, make_flips_outlook
from slimgate.judge.rows_needed import count_planned_rows, find_two_sided_stretch
from slimgate.judge.token_kl import SHARE_ABOVE, choose_mean_cap
from slimgate.outcomes import Floats, Ints
from slimgate.plugins.rows import GATE, Rows, number_groups
from slimgate.record.run import RunRecord
from slimgate.results.base import BudgetFacts, CappedFacts
from slimgate.results.checks import BASELINE
from slimgate.results.quality import QualityFacts
from slimgate.run.rows import PreparedRows
from slimgate.suite.suite import Suite

_MOST_NAMES = 4
# The smallest and the largest share of answers that an equally good variant changes.
Changes = tuple[float, float]


@dataclass(frozen=True)
class GateGroups:
    """The number of rows in each independent group of the gate; single rows are groups of one."""

    sizes: tuple[int, ...]

    @property
    def rows(self) -> int:
        return sum(self.sizes)

    @cached_property
    def group_sizes(self) -> Floats | None:
        """(groups,) sizes; None if every group has one row."""
        return np.array(self.sizes, np.float64) if max(self.sizes) > 1 else None

    def __str__(self) -> str:
        rows = f"{self.rows:,} gate rows"
        return rows if self.group_sizes is None else f"{rows} in {len(self.sizes):,} groups"


def count_gate_groups(suite: Suite, rows: PreparedRows, split: str = GATE) -> GateGroups:
    """The groups of a judging split's rows, as the judge uses them."""
    task = suite.setup.task
    return count_groups(rows.splits[split], task.object.text_columns(task.params), suite.setup.group)


def count_groups(rows: Rows, text_columns: Sequence[str], group_column: str | None) -> GateGroups:
    """The groups of rows that do not belong to a suite yet."""
    groups = find_group_ids(rows, text_columns, group_column)
    if groups is None:
        return GateGroups((1,) * len(rows))
    return GateGroups(tuple(np.unique(groups, return_counts=True)[1].tolist()))


def find_group_ids(rows: Rows, text_columns: Sequence[str], group_column: str | None) -> Ints | None:
    """(rows,) group ids; rows with the same text are in one group. None if each row is its own group."""
    return join_groups(number_groups(rows, group_column), number_texts(rows.table, text_columns))


@dataclass(frozen=True)
class PlannedBudget:
    """One budget of some variants, and whether the gate rows can decide it.

    needed: the gate rows with which an equally good variant passes 80 % of the time, for few and for many
    changed answers, in groups as large as the gate's; None if no number suffices. basis: the assumptions.
    """

    metric: str
    kind: str
    limit: float
    variants: tuple[str, ...]
    gate: GateGroups
    needed: tuple[int | None, ...]
    word: Word
    basis: str

    @property
    def is_decidable(self) -> bool:
        """Whether the gate rows are enough to decide it."""
        return self.word == "can decide"

    @property
    def is_doubtful(self) -> bool:
        """Whether the gate rows are, or may be, too few to decide it."""
        return self.word in ("may decide", "cannot decide")

    @property
    def names(self) -> str:
        """The first few variants."""
        return list_names(self.variants, _MOST_NAMES)

    @property
    def takes(self) -> str:
        """The gate rows that it needs, such as `390 to 1,546`, `390 at best`, or `?`."""
        numbers = list(dict.fromkeys(f"{rows:,}" for rows in self.needed if rows is not None))
        end = " at best" if numbers and None in self.needed else ""
        return f"{' to '.join(numbers) or '?'}{end}"

    @property
    def answer(self) -> str:
        """Whether the rows can decide the budget, such as `6,000 gate rows in 1,015 groups can decide it`."""
        if self.word == "unknown":
            return self.word
        return f"{self.gate} {self.word.replace('cannot', 'CANNOT')} it"

    @property
    def line(self) -> str:
        """The plan in one line.

        Example: `budget accuracy drop_points 0.5 (int8): 6,000 gate rows may decide it; it takes about 1,597
        to 7,486 (…)`.
        """
        head = f"budget {self.metric} {self.kind} {self.limit:g} ({self.names}):"
        if self.word == "unknown":
            return f"{head} {self.basis} how many gate rows it takes"
        if all(rows is None for rows in self.needed):
            return f"{head} {self.answer}, and no number of rows would ({self.basis})"
        return f"{head} {self.answer}; it takes about {self.takes} ({self.basis})"


class _EarlierFacts(NamedTuple):
    """What an earlier run measured of a metric. created: when it ran."""

    created: str
    facts: QualityFacts


@dataclass(frozen=True)
class _Plan:
    """The part of a planned budget that several variants can share; they get one line."""

    metric: str
    kind: str
    limit: float
    needed: tuple[int | None, ...]
    word: Word
    basis: str


def plan_budgets(suite: Suite, gate: GateGroups, earlier: RunRecord | None) -> list[PlannedBudget]:
    """Plans each distinct budget on a drop, flips or tokens.

    The plan comes from an earlier run on these rows, if there is one, else from simulation.

    Variants that are not gated are skipped. Before a first run, the plan is "unknown" for three kinds of
    budget: on an absolute value (floor, ceiling), relative ones except on perplexity, and on a metric that is
    not 0 or 1 for each row.
    """
    variants_by_plan: dict[_Plan, list[str]] = {}
    for name, variant_budgets in suite.budgets.items():
        if name not in suite.variants or not suite.variants[name].gated:
            continue
        changes = estimate_changes(suite, name)
        for metric, budgets in variant_budgets.quality.items():
            earlier_facts = _find_earlier_facts(earlier, name, metric)
            for budget in budgets:
                for plan in _plan_budget(metric, metric, budget, gate, changes, earlier_facts):
                    variants_by_plan.setdefault(plan, []).append(name)
        for metric, budgets in variant_budgets.baseline.items():
            # the difference from the teacher says nothing about the difference from the last release
            for budget in budgets:
                for plan in _plan_budget(f"{BASELINE} {metric}", metric, budget, gate, changes, None):
                    variants_by_plan.setdefault(plan, []).append(name)
        if (flips := variant_budgets.behaviour.flips) is not None:
            limit = flips.flips_max_percent / 100
            outlook = make_flips_outlook(gate.sizes, limit, changes)
            lost = changes[0] / 2, changes[1] / 2  # the other half is won
            needed = _count_rows_needed(limit, gate, lost, used=lost)
            plan = _Plan("flips", flips.kind, flips.limit, needed, outlook.word, outlook.basis)
            variants_by_plan.setdefault(plan, []).append(name)
        for table, limits in variant_budgets.behaviour.tokens.items():
            for token_budget in limits:
                variants_by_plan.setdefault(_plan_tokens(table, token_budget, gate), []).append(name)
    return [
        PlannedBudget(**vars(plan), variants=tuple(names), gate=gate)
        for plan, names in sorted(
            variants_by_plan.items(), key=lambda pair: (pair[0].metric, pair[0].kind, pair[0].limit)
        )
    ]


def estimate_changes(suite: Suite, name: str) -> Changes:
    """The range of the share of answers that an equally good variant changes. Training changes more."""
    variant = suite.variants[name]
    if any("train" in step.reads for step in variant.steps):
        return TRAINED
    sources = variant.cascade.models if variant.cascade is not None else (variant.parent,)
    is_trained = any(
        estimate_changes(suite, source) == TRAINED
        for source in sources
        if source is not None and source in suite.variants
    )
    return TRAINED if is_trained else CONVERTED


def _plan_budget(
    shown: str,
    metric: str,
    budget: QualityBudget,
    gate: GateGroups,
    changes: Changes,
    earlier: _EarlierFacts | None,
) -> Iterator[_Plan]:
    """The plan of a budget; none if an earlier run says nothing about this limit.

    shown: the name of the metric in the plan. The spread of builds is known only from a run that judged the
    budget over builds.
    """
    judged = None if earlier is None else _find_judged(budget, earlier.facts)
    if budget.kind == "increase_relative" and load_metric(metric).documents is not None:
        if earlier is None or judged is None:
            note = "if no document changes, documents of equal length"
            yield _plan_share(shown, budget, compute_smallest_share(budget), gate, note)
        else:
            yield _plan_from_record(shown, judged, gate, earlier.created)
        return
    over_builds = budget.over == "builds"
    if earlier is not None and (not over_builds or judged is not None):
        yield from _plan_by_earlier_run(shown, budget, gate, earlier)
        return
    margin = budget.limit / 100
    if not is_in_points(budget.kind) or load_metric(metric).per_row is None:
        yield _Plan(shown, budget.kind, budget.limit, (), "unknown", "a first run shows")
        return
    two_sided = is_two_sided_kind(budget.kind)
    outlook: Outlook = make_drop_outlook(gate.sizes, margin, changes, two_sided=two_sided)
    word, basis = outlook.word, outlook.basis
    if over_builds:
        word = "may decide" if word == "can decide" else word
        basis += "; over builds, if these do not differ"
    needed = _count_rows_needed(margin, gate, changes, two_sided=two_sided)
    yield _Plan(shown, budget.kind, budget.limit, needed, word, basis)


def _find_judged(budget: QualityBudget, known: QualityFacts) -> BudgetFacts | None:
    """The same budget, also over builds or not and with the same cap, as an earlier run judged it."""
    identity = budget.kind, budget.limit, budget.over == "builds"
    matches = (
        facts
        for facts in known.budgets
        if (facts.kind, facts.limit, facts.builds is not None) == identity
        and _has_same_cap(budget, facts.capped)
    )
    return next(matches, None)


def _has_same_cap(budget: QualityBudget, capped: CappedFacts | None) -> bool:
    """Whether an earlier run judged by the budget's cap and share above it; true if nothing was capped."""
    if capped is None:
        return budget.cap is None and budget.above_cap_max is None
    stated = None if capped.derived else capped.above_max
    return stated == budget.above_cap_max and budget.cap in (None, capped.cap)


def _plan_tokens(table: str, budget: LimitBudget, gate: GateGroups) -> _Plan:
    """Plans a budget on tokens."""
    share = {**SHARE_ABOVE, "floor": 1 - budget.limit}.get(budget.kind)
    if share is None:
        cap = choose_mean_cap(budget)
        share = min(budget.limit / cap, budget.above_cap_max or budget.limit / (WORST * cap))
    return _plan_share(table, budget, share, gate, "if no token differs, rows of equal length")


def compute_smallest_share(budget: QualityBudget) -> float:
    """The smallest share that the rows must exclude, for a budget on a perplexity.

    Of documents above the cap, or of documents that lose a whole cap and so use up the budget.
    """
    allowed, cap = log(1 + budget.limit), choose_growth_cap([budget])
    return min(allowed / cap, budget.above_cap_max or allowed / (WORST * cap))


def _plan_share(
    shown: str, budget: QualityBudget | LimitBudget, share: float, gate: GateGroups, basis: str
) -> _Plan:
    """Plans a budget by the rule of three: with fewer rows no variant can pass.

    share: the share of rows that the gate rows must exclude.
    """
    rows = count_planned_rows(share, discordance=0.0, sizes=gate.group_sizes)
    word: Word = "may decide" if rows <= gate.rows else "cannot decide"
    return _Plan(shown, budget.kind, budget.limit, (rows,), word, basis)


def _count_rows_needed(
    margin: float,
    gate: GateGroups,
    changes: Changes,
    *,
    used: Changes = (0.0, 0.0),
    two_sided: bool = False,
) -> tuple[int | None, ...]:
    """The gate rows that a budget takes, for few and for many changed answers.

    used: the part of the margin that an equally good variant uses up in each case. If that is all of it, the
    rows are None.
    """
    return tuple(
        count_planned_rows(margin - used_part, discordance=share, sizes=gate.group_sizes, two_sided=two_sided)
        if used_part < margin
        else None
        for share, used_part in zip(changes, used, strict=True)
    )


def _plan_by_earlier_run(
    shown: str, budget: QualityBudget, gate: GateGroups, earlier: _EarlierFacts
) -> Iterator[_Plan]:
    """The plan by an earlier run: its verdict on the same budget, or its variance for another limit."""
    created, known = earlier
    judged = _find_judged(budget, known)
    if judged is not None:
        yield _plan_from_record(shown, judged, gate, created)
        return
    margin = _find_margin(budget, known)
    if margin is None or known.variance is None:
        return
    two_sided = is_two_sided_kind(budget.kind)
    if is_in_points(budget.kind) and known.interval is not None and known.drop_points is not None:
        low, high = known.interval
        drop = f"the run of {created} measured a drop of {known.drop_points:.1f} [{low:.1f}, {high:.1f}]"
        if any(low <= limit <= high for limit in list_point_limits([budget])):
            needed = (
                _count_rows_to_prove(margin, known.drop_points / 100, known.variance, two_sided=two_sided),
            )
            yield _Plan(shown, budget.kind, budget.limit, needed, "cannot decide", drop)
            return
        yield _Plan(shown, budget.kind, budget.limit, (gate.rows, gate.rows), "can decide", drop)
        return
    # the measured variance includes the groups' effect; groups that were not sampled come on top
    unseen = count_planned_rows(margin, discordance=0.0, sizes=gate.group_sizes)
    rows = max(count_planned_rows(margin, discordance=known.variance, two_sided=two_sided), unseen)
    word: Word = "can decide" if rows <= gate.rows else "cannot decide"
    basis = f"no true drop, as much change as the run of {created} measured"
    yield _Plan(shown, budget.kind, budget.limit, (rows, rows), word, basis)


def _count_rows_to_prove(margin: float, drop: float, variance: float, *, two_sided: bool) -> int | None:
    """Rows needed to show that the measured drop is within the margin; None if it is not."""
    distance = margin - (abs(drop) if two_sided else drop)
    if distance <= 0:
        return None
    stretch = (find_two_sided_stretch(drop, margin) or 1.0) if two_sided else 1.0
    return ceil(count_planned_rows(distance, discordance=variance) * stretch**2)


def _plan_from_record(shown: str, judged: BudgetFacts, gate: GateGroups, created: str) -> _Plan:
    if judged.verdict != "INCONCLUSIVE":
        basis = f"{judged.verdict} in the run of {created}"
        return _Plan(shown, judged.kind, judged.limit, (gate.rows, gate.rows), "can decide", basis)
    needed = () if judged.n_needed is None else (judged.n_needed,)
    basis = f"as the run of {created} measured"
    if judged.builds_needed is not None:
        joint = "with them" if judged.needs_both else "or"
        basis += f"; {joint} {judged.builds_needed} builds in place of {judged.builds}"
    return _Plan(shown, judged.kind, judged.limit, needed, "cannot decide", basis)


def _find_earlier_facts(record: RunRecord | None, variant: str, metric: str) -> _EarlierFacts | None:
    """The facts of a metric in the record of an earlier run; None without facts or their interval."""
    if record is None:
        return None
    facts = next((model.quality.get(metric) for model in record.variants if model.name == variant), None)
    return None if facts is None or facts.interval is None else _EarlierFacts(record.created, facts)


def _find_margin(budget: QualityBudget, known: QualityFacts) -> float | None:
    """The largest drop that the budget allows, in the metric's unit; None for an absolute limit."""
    if budget.kind in ("floor", "ceiling"):
        return None
    margin = compute_allowed_drop(budget, nan if is_in_points(budget.kind) else known.teacher)
    return None if margin <= 0 else margin
