"""Compares what a gate demands with what an earlier gate demanded: whether it got weaker.

`slimgate compare`, `slimgate accept` and --slimgate-baseline share this check. If a key of a suite has no
rule, any change of its value counts as weaker.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import ne
from typing import TYPE_CHECKING, Any

from slimgate.judge.score_metric import ANSWER, CONTENTS, RECORD_KIND, RULES
from slimgate.plugins.reader import SETTING_WORDS
from slimgate.record.budgets import clean_reason, is_looser, judged_budgets
from slimgate.record.comparing.facts import BudgetChange
from slimgate.record.demands import DemandedBudget, DemandedRows, Demands
from slimgate.record.files import TEACHER
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.record.task import PREDICTIONS
from slimgate.record.verdicts import ONLY_WARNS, Weakening
from slimgate.results.base import BudgetFacts
from slimgate.results.baseline import WaitingBudget
from slimgate.results.checks import BASELINE

if TYPE_CHECKING:
    from slimgate.plugins.base import Json

# Prefix of the keys of settings that hold a digest of code.
CODE = "code."
_LOAD_MODEL = "load_model"
# The splits that judge. The teacher may be trained on other splits.
_JUDGING = ("gate", "confirm")
_SELF_TESTS = ("identical", "planted_fault", "planted_delay")
_LONGEST = 80
# How samples without a score count in logs, the strictest first.
_MISSING = ("fail", "as-wrong", "drop")
# Options that make a limit stricter. `over = "builds"` covers all builds, not only the rows of one build.
_STRICTER_OPTIONS = ({"over": "builds"},)
_ABOVE_CAP = "above_cap_max"
# Keys of the settings of judged files. Those of a comparison end in its name.
_LOGS = "logs."
_COMPARED = f"{_LOGS}compared"
_DIRECTION, _RANGE, _UNIT = "higher_is_better of ", "range of ", "unit of "
# Prefix of the keys that hold a digest of the base's documents, prompts or targets.
_CONTENTS = "contents."
_RIGHT_OR_WRONG, _NOT_DECLARED = "right or wrong", "not declared"
# The comparison of all samples of logs.
POOLED = "pooled"


def read_demands(record: RunRecord) -> Demands:
    """What the gate of a record demanded, or judged if the record has no suite, such as a record of logs."""
    demands = record.demands or read_judged_demands(record)
    teacher = record.variants[0]
    # The files of a trained teacher differ between machines by rounding, so its settings and rows are
    # compared.
    is_trained = any(step.name != _LOAD_MODEL or step.log.get("head") for step in teacher.steps)
    tests = [name for name in _SELF_TESTS if getattr(record.self_test, name) is not None]
    facts = {
        "rows": demands.rows or _read_judging_rows(record),
        "teacher": None if is_trained or teacher.artifact is None else teacher.artifact.digest,
        "self_tests": tests,
    }
    return demands.model_copy(update=facts)


def _read_judging_rows(record: RunRecord) -> dict[str, DemandedRows]:
    splits = record.task.splits
    return {
        name: DemandedRows(n=splits[name].n, digest=splits[name].digest)
        for name in _JUDGING
        if name in splits
    }


def read_judged_demands(record: RunRecord) -> Demands:
    """The demands as far as the results show them, for a record of judged files, or without demands."""
    of_files = record.task.is_of_files
    return Demands(
        budgets=[budget for model in record.variants for budget in _list_budgets(model, with_caps=of_files)],
        gated={model.name: model.gated for model in record.variants[1:]},
        switched_off={model.name: model.switched_off for model in record.variants if model.switched_off},
        settings={
            "suite.seeds": record.suite.seeds,
            "task.kind": record.task.kind,
            "teacher.model": record.variants[0].parent,
            **_read_log_settings(record),
        },
        unjudged={model.name: model.awaited for model in record.variants if model.awaited},
    )


def _read_log_settings(record: RunRecord) -> dict[str, object]:
    """The rules by which files were compared, as far as the record states them."""
    params = record.task.params or {}
    if record.task.kind == PREDICTIONS:
        return {} if params.get("positive") is None else {f"{_LOGS}positive": params["positive"]}
    if record.task.kind != RECORD_KIND:
        return {}
    settings = {f"{_LOGS}{name}": value for name, value in params.get(RULES, {}).items()}
    limited = list_limited(record)
    for comparison in params.get("comparisons", []):
        name = comparison["name"]
        if name not in limited and POOLED not in limited:
            continue
        settings[f"{_LOGS}{_DIRECTION}{name}"] = comparison["higher_is_better"]
        is_share = comparison["zero_one"] and comparison.get("range") in (None, [0, 1])
        settings[f"{_LOGS}{_RANGE}{name}"] = (
            _RIGHT_OR_WRONG if is_share else comparison.get("range") or _NOT_DECLARED
        )
        if comparison.get("length_in") is not None:
            settings[f"{_LOGS}{_UNIT}{name}"] = comparison["length_in"]
        if (place := comparison.get(CONTENTS)) is not None:
            allowed = params.get(RULES, {}).get("allow", ())
            settings |= {
                # the answers may change, but a log without answers does not show how they were scored
                f"{_CONTENTS}{key}s of {place}": True if key == ANSWER else value
                for key, value in params[CONTENTS][place].items()
                if key not in allowed
            }
    with_budget = _list_with_budget(record)
    settings |= {
        f"{_CONTENTS}samples of {name}": part["samples"]
        for name, part in record.task.log_slices.items()
        if name in with_budget and "samples" in part
    }
    return settings


def _list_with_budget(record: RunRecord) -> set[str]:
    return {name for model in record.variants for name, facts in model.quality.items() if facts.budgets}


def list_limited(record: RunRecord) -> set[str]:
    """The comparisons that a budget of any target limits, all together or in slices."""
    limited = _list_with_budget(record)
    slices = record.task.log_slices
    return {slices[name]["of"] if name in slices else name for name in limited}


def _list_budgets(model: VariantRecord, *, with_caps: bool) -> Iterator[DemandedBudget]:
    """Lists a budget once for each kind, and a latency budget once for all workloads.

    with_caps: whether the options include the cap of a mean without a bound, which a suite states itself.
    """
    judged = {
        ("latency" if budget.of == "latency" else budget.name, budget.facts.kind): budget.facts
        for budget in judged_budgets(model)
    }
    waiting = {
        (f"{BASELINE} {metric}", budget.kind): budget
        for metric, since in model.since_baseline.items()
        for budget in since.waiting
    }
    limits: dict[tuple[str, str], BudgetFacts | WaitingBudget] = {**judged, **waiting}
    for (name, kind), facts in limits.items():
        yield DemandedBudget(
            variant=model.name,
            budget=name,
            kind=kind,
            limit=facts.limit,
            on_inconclusive=facts.on_inconclusive,
            options=_read_cap(facts) if with_caps and isinstance(facts, BudgetFacts) else {},
            reason=facts.reason,
        )


def _read_cap(budget: BudgetFacts) -> dict[str, Any]:
    """The cap that a row counts for, and the share of rows above it if the user stated it."""
    capped = budget.capped
    if capped is None:
        return {}
    return {"cap": capped.cap} if capped.derived else {"cap": capped.cap, _ABOVE_CAP: capped.above_max}


def find_weakenings(before: Demands, now: Demands, *, accepted: str | None = None) -> list[Weakening]:
    """Everything that the gate demands less now; changes without a reason come first.

    accepted: why the new gate was accepted with all of its changes. A demand that is unknown now, such as
    that on the rows, is no weakening.
    """
    common = _common_reason(before, now, accepted)
    weaker = [
        *_weaker_variants(before, now),
        *(
            Weakening(
                about="budgets",
                change=f"{change.variant}, {change.budget}: {change.kind} {_describe_change(change)}",
                reason=change.reason,
            )
            for change in budget_changes(before, now, accepted=accepted)
            if change.looser and not change.gates_no_more  # its variant is listed
        ),
        *_weaker_rows(before, now),
        *_weaker_settings(before.settings, now.settings),
        *_weaker_teacher(before, now),
    ]
    explained = [
        weakening if weakening.reason is not None else weakening.model_copy(update={"reason": common})
        for weakening in weaker
    ]
    return sorted(explained, key=lambda weakening: weakening.reason is not None)


def _common_reason(before: Demands, now: Demands, accepted: str | None) -> str | None:
    """The reason for all changes of the gate. A reason that the earlier gate had is not about them."""
    new_reason = clean_reason(now.reason) if now.reason != before.reason else None
    return accepted or new_reason


def budget_changes(before: Demands, now: Demands, *, accepted: str | None = None) -> list[BudgetChange]:
    """Limits that changed, for models that are in both gates; looser limits first."""
    common = _common_reason(before, now, accepted)
    models = [TEACHER, *(name for name in now.gated if name in before.gated)]
    changes = [change for name in models for change in _list_changes(name, before, now, common)]
    return sorted(changes, key=lambda change: (not change.looser, change.reason is not None))


def _list_changes(name: str, before: Demands, now: Demands, common: str | None) -> Iterator[BudgetChange]:
    olds, news = _gating_budgets(before, name), _gating_budgets(now, name)
    is_gated = now.gated.get(name, True)
    for key, old in olds.items():
        if key in news:
            yield from _compare_budgets(old, news[key], common)
        elif not (is_gated and _is_unjudged(now, old)):
            yield BudgetChange(
                variant=name,
                budget=old.budget,
                kind=old.kind,
                before=old.limit,
                after=None,
                looser=True,
                gates_no_more=not is_gated,
                # The reason for which a variant is not gated is no reason to drop its budget.
                reason=(_find_reason_off(before, now, old) if is_gated else None) or common,
            )
    for key, new in news.items():
        if key not in olds and not _is_unjudged(before, new):
            yield BudgetChange(
                variant=name,
                budget=new.budget,
                kind=new.kind,
                before=None,
                after=new.limit,
                looser=False,
                reason=new.reason,
            )


def _find_reason_off(before: Demands, now: Demands, budget: DemandedBudget) -> str | None:
    """The new reason for which a variant switches a budget off; None if the earlier gate had this reason."""
    earlier = {clean_reason(off.reason) for off in before.switched_off.get(budget.variant, ())}
    reasons = [
        clean_reason(off.reason)
        for off in now.switched_off.get(budget.variant, ())
        if (off.budget, off.kind) == (budget.budget, budget.kind)
    ]
    return next((reason for reason in reasons if reason not in earlier), None)


def _gating_budgets(demands: Demands, name: str) -> dict[tuple[str, str], DemandedBudget]:
    if not demands.gated.get(name, True):
        return {}
    return {(budget.budget, budget.kind): budget for budget in demands.budgets if budget.variant == name}


def _is_unjudged(demands: Demands, budget: DemandedBudget) -> bool:
    """Whether the gate has this budget with an unknown limit, because its run did not judge it."""
    names = demands.unjudged.get(budget.variant, ())
    return any(
        budget.budget in (name, *name.split(" and ")) or name.partition(" ")[0] == budget.budget
        for name in names
    )


def _compare_budgets(old: DemandedBudget, new: DemandedBudget, common: str | None) -> Iterator[BudgetChange]:
    # None if it did not change, or if a record does not state it.
    was, now = old.on_inconclusive, new.on_inconclusive
    undecided = None if was is None or now is None or was == now else (was, now)
    options = None if old.options == new.options else (old.options, new.options)
    if old.limit == new.limit and undecided is None and options is None:
        return
    is_weaker = (
        is_looser(new.kind, new.limit, old.limit)
        or undecided == ONLY_WARNS
        or (options is not None and not _is_stricter(*options))
    )
    # A reason that the earlier budget had is not about this change.
    new_reason = clean_reason(new.reason) if new.reason != old.reason else None
    yield BudgetChange(
        variant=new.variant,
        budget=new.budget,
        kind=new.kind,
        before=old.limit,
        after=new.limit,
        looser=is_weaker,
        reason=new_reason or (common if is_weaker else None),
        undecided=undecided,
        options=options,
    )


def _is_stricter(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether changed options of a budget are known to make it stricter."""
    if now in _STRICTER_OPTIONS:
        return True
    changed = {name for name in {**before, **now} if before.get(name) != now.get(name)}
    return (
        changed == {_ABOVE_CAP}
        and _ABOVE_CAP in before
        and _ABOVE_CAP in now
        and now[_ABOVE_CAP] < before[_ABOVE_CAP]
    )


def _describe_change(change: BudgetChange) -> str:
    if change.gates_no_more:
        return f"was {change.before:g} and does not gate any more"
    if change.after is None:
        return f"was {change.before:g} and is gone"
    parts = [] if change.after == change.before else [f"was {change.before:g} and is {change.after:g}"]
    if change.undecided == ONLY_WARNS:
        parts.append("failed the run if it was undecided, and only warns now")
    if change.options is not None:
        was, now = map(_format, change.options)
        parts.append(f"was with {was} and is with {now}")
    return ", ".join(parts)


def _weaker_variants(before: Demands, now: Demands) -> Iterator[Weakening]:
    for name, gated in before.gated.items():
        if gated and name not in now.gated:
            yield Weakening(about="variants", change=f"{name} is gone, with its budgets")
        elif gated and not now.gated[name]:
            yield Weakening(about="variants", change=f"{name} is not gated now: it fails no run")


def _weaker_rows(before: Demands, now: Demands) -> Iterator[Weakening]:
    for name, old in before.rows.items():
        new = now.rows.get(name)
        if not now.rows or (new is not None and new.digest == old.digest):
            continue
        rows = (
            f"the {name} rows" if name in _JUDGING else f"the {name} rows, on which the teacher is trained,"
        )
        if new is None:
            yield Weakening(about="rows", change=f"{rows} are gone")
        else:
            counts = f"{old.n:,} rows then, {new.n:,} now"
            yield Weakening(about="rows", change=f"{rows} have changed ({counts})")


def _weaker_teacher(before: Demands, now: Demands) -> Iterator[Weakening]:
    if before.teacher is not None and now.teacher is not None and before.teacher != now.teacher:
        yield Weakening(about="settings", change="the teacher is another model: its files differ")
    if now.self_tests is None:
        return
    for name in before.self_tests or ():
        if name not in now.self_tests:
            yield Weakening(about="settings", change=f"the self-test {name} has not run")


Rule = Callable[[Any, Any], bool]


def _lacks_item(before: Sequence[str] | None, now: Sequence[str] | None) -> bool:
    """Whether an item of the old list is not in the new one."""
    return any(item not in (now or ()) for item in before or ())


def _is_fewer(before: float | None, now: float | None) -> bool:
    return before is not None and (now is None or now < before)


def _is_removed_or_changed(before: object, now: object) -> bool:
    """Whether a value was removed or changed. A value where none was set before is stricter."""
    return bool(before) and before != now


def _is_turned_on(before: object, now: object) -> bool:
    return bool(now) and not before


def _has_other_code(before: object, now: object) -> bool:
    """Whether code that is still used has changed."""
    return now is not None and before != now


def _asks_less_of_servers(before: Sequence[Json] | None, now: Sequence[Json] | None) -> bool:
    """Whether a load is missing, has fewer requests or turns, or has another level of service."""
    by_arrival = {(load["concurrency"], load["request_rate"]): load for load in now or ()}
    for load in before or ():
        same = by_arrival.get((load["concurrency"], load["request_rate"]))
        if same is None or same["requests"] < load["requests"] or same["blocks"] < load["blocks"]:
            return True
        if same["service_level"] != load["service_level"]:
            return True
    return False


def _is_laxer(before: str, now: str | None) -> bool:
    """Whether samples without a score cost less than before."""
    return now is not None and _MISSING.index(now) > _MISSING.index(before)


def _allows_more(before: Sequence[str], now: Sequence[str] | None) -> bool:
    return not set(now or ()) <= set(before)


def _is_other(before: object, now: object) -> bool:
    """Whether a value that is still used has changed: nobody knows what that does to the verdict."""
    return now is not None and before != now


def _has_other_range(before: object, now: object) -> bool:
    """Whether a declared range has changed. Whether scores are only 0 and 1 depends on the answers."""
    if now is None or before == now:
        return False
    by_answers = (_RIGHT_OR_WRONG, _NOT_DECLARED, [0, 1])
    return _RIGHT_OR_WRONG not in (before, now) or before not in by_answers or now not in by_answers


# Key -> whether its new value demands less than its old value. For every other key any change does.
_RULES: Mapping[str, Rule] = {
    "suite.opt_in": _is_turned_on,
    "task.group": _is_removed_or_changed,
    "task.slices": _lacks_item,
    "teacher.model": _is_removed_or_changed,
    "teacher.sha256": _is_removed_or_changed,
    "budgets.family": _is_removed_or_changed,
    "logs.missing": _is_laxer,
    "logs.allow": _allows_more,
    _COMPARED: _lacks_item,
    "logs.positive": _is_other,
    "logs.looks": _is_fewer,
    "measure.metrics": _lacks_item,
    "measure.workloads": _lacks_item,
    "measure.loads": _asks_less_of_servers,
    "measure.end_to_end": _is_removed_or_changed,
    "measure.warmup": _is_fewer,
    "measure.rounds": _is_fewer,
    "measure.max_seconds": _is_fewer,
}


def _weaker_settings(before: Mapping[str, object], now: Mapping[str, object]) -> Iterator[Weakening]:
    """The settings that demand less. A setting that the earlier record lacks was not demanded."""
    for key, old in before.items() if now else ():
        if _find_rule(key)(old, now.get(key)):
            yield Weakening(about="settings", change=_describe_setting(key, old, now.get(key)))


def _find_rule(key: str) -> Rule:
    by_prefix: Mapping[str, Rule] = {
        CODE: _has_other_code,
        f"{_LOGS}{_DIRECTION}": _is_other,
        f"{_LOGS}{_RANGE}": _has_other_range,
        f"{_LOGS}{_UNIT}": _is_other,
        _CONTENTS: _is_removed_or_changed,
    }
    return _RULES.get(key) or next((by_prefix[start] for start in by_prefix if key.startswith(start)), ne)


def _describe_setting(key: str, old: Any, new: Any) -> str:
    if key.startswith(CODE):
        return f"the code of {key.removeprefix(CODE)} is another"
    table, _, name = key.partition(".")
    if key.startswith(_CONTENTS):
        return f"the {name} in the base's log {'are not judged now' if new is None else 'have changed'}"
    if key == _COMPARED:
        names = ", ".join(SETTING_WORDS.get(item, item) for item in old if item not in (new or ()))
        return f"settings that were compared are not in both logs now: {names}"
    if key == "teacher.files":
        return "the teacher is another model: its files differ"
    return f"[{table}] {name} was {_format(old)} and is {_format(new)}"


def _format(value: object) -> str:
    """A value as JSON; only its beginning if it is long."""
    text = "not set" if value in (None, {}) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
