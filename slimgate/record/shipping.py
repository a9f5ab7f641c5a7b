"""The verdict on one model of a record over all its budgets, and why it needs a reason to be shipped."""

from __future__ import annotations

from slimgate.record.budgets import list_judged_budgets
from slimgate.record.earlier_results import describe_state
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.record.run_verdict import list_results
from slimgate.results.base import Verdict, find_worst_verdict
from slimgate.results.checks import TEACHER

NOT_JUDGED, NOT_GATED, ERROR = "not judged", "not gated", "error"


def format_model_verdict(model: VariantRecord) -> str:
    """PASS, FAIL or INCONCLUSIVE over all budgets of a model, or error, not gated, not judged.

    PASS only if every budget that the suite has for it was judged.
    """
    if model.error is not None:
        return ERROR
    if not model.gated:
        return NOT_GATED
    verdicts = [budget.facts.verdict for budget in list_judged_budgets(model)]
    verdicts += [facts.verdict for facts in model.confirm.values() if facts.verdict is not None]
    worst = find_worst_verdict(verdicts)
    if worst is None or (worst is Verdict.PASS and model.awaited):
        return NOT_JUDGED
    return str(worst)


def format_model_status(record: RunRecord, model: VariantRecord) -> str:
    """`PASS`; `FAIL, partial` if the record is not of a single whole run."""
    return format_model_verdict(model) + (", partial" if describe_state(record) else "")


def describe_shipping_obstacle(record: RunRecord, model: VariantRecord) -> str | None:
    """Why a model needs a reason to be shipped, in words that follow its name; None if it needs none.

    The other models are compared with the teacher, so the teacher needs a reason only if a budget on itself
    does not hold.
    """
    verdict = format_model_verdict(model)
    if model.name == TEACHER and verdict == NOT_JUDGED:
        return None
    if verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE):
        return f"is {verdict} in this run{_find_first_message(model, Verdict(verdict))}"
    if verdict == ERROR:
        return f"could not be built or measured ({model.error})"
    if verdict == NOT_GATED:
        return f"is not gated in this run ({model.reason or 'no reason is given'}): no budget gates it"
    if verdict == NOT_JUDGED:
        lacking = f": {', '.join(model.awaited)}" if model.awaited else " by any budget"
        return f"was not judged in this run{lacking}"
    if broken := record.self_test.failures:
        return f"comes from a gate that failed its self-test ({', '.join(broken)})"
    if model.name != TEACHER and (state := describe_state(record)):
        return f"comes from a record that is {state}"
    return None


def _find_first_message(model: VariantRecord, verdict: Verdict) -> str:
    """The gate's line on the budget that does not hold."""
    facts = [result.facts for result in list_results(model) if result.facts.verdict is verdict]
    message = next((judged.message for judged in facts if judged.message), None)
    return "" if message is None else f" ({message.removeprefix(f'{model.name}: ')})"
