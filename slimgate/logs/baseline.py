"""The baseline of a suite of logs: a run whose gate demands less gives a reason, or is an error.

A base that got worse is shown in the report and is no error, because tools that run base and target together
give other answers of the base in each run. `slimgate compare` and `slimgate accept` demand a reason for it.
"""

from __future__ import annotations

from slimgate.errors import SuiteError
from slimgate.record.comparing.base import list_worse_values
from slimgate.record.comparing.budgets import find_weaker
from slimgate.record.comparing.demands import read_demands
from slimgate.record.run import RunRecord
from slimgate.run.baseline import (
    OPTION,
    Baseline,
    BaselineSource,
    describe_baseline,
    find_loosened_budgets,
    find_newest,
)


def compare_with_baseline(record: RunRecord, source: BaselineSource) -> Baseline | None:
    """The newest baseline of the suite of a record; None if there is none.

    Raises SuiteError if the gate of the record demands less than the baseline, without a reason.
    """
    run = find_newest(source, record.suite.path)
    if run is None:
        return None
    before, now = read_demands(run.record), read_demands(record)
    facts = describe_baseline(
        source,
        run,
        loosened=find_loosened_budgets(before, now),
        weaker=find_weaker(run.record, record, tolerant=True),
        variants=[model.name for model in record.variants],
    )
    of_base = list_worse_values(run.record, record)
    refused = [
        weakening
        for weakening in facts.weaker
        if weakening.reason is None and weakening.change not in of_base
    ]
    if refused:
        changes = "; ".join(weakening.change for weakening in refused)
        only_budgets = all(weakening.about == "budgets" for weakening in refused)
        give_reason = ", or give the changed budget a reason" if only_budgets else ""
        raise SuiteError(
            f"{record.suite.path}: the gate demands less than the baseline {facts.name or facts.path}: "
            f"{changes}. Restore it{give_reason}, or accept this gate: "
            f"run without {OPTION}, then slimgate accept with --reason"
        )
    return Baseline(run, facts)
