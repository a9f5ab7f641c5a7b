"""The verdict over the results of a record: which budgets hold, what broke, what is missing or carried over.

verdict(variants, self_test, missing)              the state of the whole record
verdict_of_this_run(variants, self_test, missing)  what this run judged, as its exit code has it
verdict_of_budgets(judged)                         of a command that judges budgets and keeps no record
format_verdict(run)                                the line that a command ends with

`_last_word` alone decides what a run is called, wherever it is told: a budget that is undecided is no PASS,
also where it only warns, and nor is a run that gated nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from slimgate.judge.budget_kinds import OnInconclusive, ends_run
from slimgate.judge.verdict import Verdict
from slimgate.record import (
    LatencyFacts,
    QualityFacts,
    RunVerdict,
    SelfTest,
    SelfTestPart,
    Status,
    VariantRecord,
)
from slimgate.record.files import TEACHER
from slimgate.record.results import JudgedFacts, Result

Key = tuple[str, str, str]  # kind, variant, name
CONFIRMED = "confirm"  # a metric on the rows of the split confirm
SELF_TEST = "self_test"
ERROR = "error"
NOTHING_GATED = "nothing was gated"


def results(model: VariantRecord) -> Iterator[Result]:
    """All that a budget has judged of a model, also where it does not hold on the confirm rows."""
    yield from model.results()
    for metric, facts in model.confirm.items():
        if facts.verdict is not Verdict.PASS:  # the gate has counted the budgets that hold
            yield Result(CONFIRMED, metric, facts)


def verdict(variants: Sequence[VariantRecord], self_test: SelfTest, missing: int) -> RunVerdict:
    """The state of the whole record: FAIL before INCONCLUSIVE before partial before PASS.

    It is partial where checks are missing and where results are of an earlier run, and "measured" where no
    budget that gates was judged.
    """
    carried = sum(len(model.carried) for model in variants)
    counts = _count_results(variants, self_test, frozenset())
    return counts.verdict(missing, carried, is_complete=not (missing or carried))


def verdict_of_this_run(variants: Sequence[VariantRecord], self_test: SelfTest, missing: int) -> RunVerdict:
    """What this run judged, without the results that it carries over: PASS where all of that holds.

    Its `missing` counts the checks that this run did not make. If it judged no budget it is "partial" where
    checks are missing, else "measured".
    """
    carried = carried_keys(variants)
    confirmed = {(CONFIRMED, model.name, metric) for model in variants for metric in model.confirm}
    counts = _count_results(variants, self_test, carried | confirmed)
    not_made = sum(kind != ERROR for kind, _, _ in carried)
    unmade = missing + not_made
    return counts.verdict(unmade, 0, is_complete=bool(counts.passed) or not unmade)


def verdict_of_budgets(judged: Iterable[tuple[Verdict, OnInconclusive | None]]) -> RunVerdict:
    """Of budgets that no record holds, such as those on load tests, each with what INCONCLUSIVE does."""
    counts = _Count()
    counts.add_budgets([*judged])
    return counts.verdict(0, 0, is_complete=True)


def format_verdict(run: RunVerdict) -> str:
    """`FAIL (1 PASS, 1 FAIL, 0 INCONCLUSIVE, 2 not gated)`: the last line of a command."""
    if not run.gated:
        return f"{NOTHING_GATED}: no budget was set"
    undecided = f"{run.inconclusive} INCONCLUSIVE"
    undecided += ", which only warns" if run.status == "INCONCLUSIVE" and not run.fails else ""
    counts = [f"{run.passed} PASS", f"{run.failed} FAIL", undecided]
    return f"{run.status} ({', '.join([*counts, f'{run.not_gated} not gated'])})"


def carried_keys(variants: Sequence[VariantRecord]) -> frozenset[Key]:
    """The checks whose results are of an earlier run."""
    return frozenset((result.kind, model.name, result.name) for model in variants for result in model.carried)


@dataclass
class _Count:
    passed: int = 0
    failed: int = 0
    inconclusive: int = 0
    errors: int = 0
    not_gated: int = 0
    warns: int = 0
    wrong: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)

    def add(self, facts: JudgedFacts) -> None:
        """Counts the budgets of one result; results of records without budgets count as one."""
        without_budgets: list[tuple[Verdict | None, OnInconclusive | None]] = [(facts.verdict, None)]
        self.add_budgets(
            [(budget.verdict, budget.on_inconclusive) for budget in facts.budgets] or without_budgets
        )
        if facts.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE) and facts.message:
            (self.wrong if facts.verdict is Verdict.FAIL else self.undecided).append(facts.message)

    def add_budgets(self, judged: Sequence[tuple[Verdict | None, OnInconclusive | None]]) -> None:
        """Counts budgets, each with what INCONCLUSIVE does of it."""
        verdicts = [verdict for verdict, _ in judged]
        self.passed += verdicts.count(Verdict.PASS)
        self.failed += verdicts.count(Verdict.FAIL)
        self.inconclusive += verdicts.count(Verdict.INCONCLUSIVE)
        self.warns += sum(
            verdict is Verdict.INCONCLUSIVE and not ends_run(verdict, action) for verdict, action in judged
        )

    def error(self, message: str) -> None:
        """Counts what could not be measured, or a self-test that failed."""
        self.errors += 1
        self.wrong.append(message)

    def verdict(self, missing: int, carried: int, *, is_complete: bool) -> RunVerdict:
        """is_complete: whether nothing else belongs to what is judged, so that it is not partial."""
        return RunVerdict(
            status=_last_word(self, is_complete=is_complete),
            passed=self.passed,
            failed=self.failed,
            inconclusive=self.inconclusive,
            errors=self.errors,
            not_gated=self.not_gated,
            warns=self.warns,
            missing=missing,
            carried=carried,
            messages=list(dict.fromkeys([*self.wrong, *self.undecided])),
        )


def _last_word(counts: _Count, *, is_complete: bool) -> Status:
    """FAIL before INCONCLUSIVE before partial; PASS only where a budget holds and none is left open."""
    if counts.failed or counts.errors:
        return "FAIL"
    if counts.inconclusive:
        return "INCONCLUSIVE"
    if not is_complete:
        return "partial"
    return "PASS" if counts.passed else "measured"


def _count_results(
    variants: Sequence[VariantRecord], self_test: SelfTest, without: Collection[Key]
) -> _Count:
    """The counts of all results but those of some checks."""
    counts = _Count()
    undecided_speed = False
    for model in variants:
        if model.error is not None and (ERROR, model.name, "") not in without:
            counts.error(model.error)
        for kind, name, facts in results(model):
            if (kind, model.name, name) in without:
                continue
            if facts.verdict is None or not model.gated:
                counts.not_gated += facts.drop_points is not None if isinstance(facts, QualityFacts) else 0
                continue
            counts.add(facts)
            undecided_speed |= isinstance(facts, LatencyFacts) and facts.verdict is Verdict.INCONCLUSIVE
    for part in _broken_gate(self_test, without):
        counts.error(part.message)
    delay = self_test.planted_delay
    if delay is not None and not delay.seen and undecided_speed:
        counts.undecided.append(delay.message)
    return counts


def _broken_gate(self_test: SelfTest, without: Collection[Key]) -> Iterator[SelfTestPart]:
    """The self-tests that show that the gate cannot be trusted."""
    for name, part in self_test.failures.items():
        if (SELF_TEST, TEACHER, name) not in without:
            yield part
