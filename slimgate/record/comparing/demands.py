"""What the gate of a record demanded: as its suite states it, or as far as the results show it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import log
from operator import ne
from typing import Any

from slimgate._system.escape import cut_end
from slimgate.judge.metrics.classes import find_conventional_positive
from slimgate.judge.score_metric import ANSWER, CONTENTS, RECORD_KIND, RULES
from slimgate.plugins.base import Json
from slimgate.plugins.reader import SETTING_WORDS
from slimgate.plugins.rows import JUDGING
from slimgate.record.budgets import list_judged_budgets
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.record.task import KL_LOGS, LOAD_TESTS, PREDICTIONS, DemandedBudget, DemandedRows, Demands
from slimgate.record.verdicts import Weakening
from slimgate.results.base import BudgetFacts
from slimgate.results.checks import BASELINE
from slimgate.results.quality import WaitingBudget

# Prefix of the keys of settings that hold a digest of code.
CODE = "code."
# Keys of the settings of judged files. Keys about a comparison end with the name of the comparison.
LOGS = "logs."
_COMPARED, LOADS, _DIFFERENCES = f"{LOGS}compared", f"{LOGS}loads", f"{LOGS}differences"
CHUNKS = f"{LOGS}number of chunks of "
REQUESTS = f"{LOGS}requests of "
REFUSALS = f"{LOGS}refusals"
BASE_OF_KL = f"{LOGS}base's perplexity in the log of "
DIRECTION, RANGE, UNIT = f"{LOGS}higher_is_better of ", f"{LOGS}range of ", f"{LOGS}unit of "
# Prefix of the keys that hold a digest of the base's documents, prompts or targets.
BASE_CONTENTS = "contents."
# The metric of logs that the patterns of refusals decide.
_REFUSED = "refused"
RIGHT_OR_WRONG, NOT_DECLARED = "right or wrong", "not declared"
_MAX_CHARACTERS = 80
# Requests of two load tests are alike if their number and mean lengths differ by at most this share.
_ALIKE = 0.05
# The base's perplexity on the same text may differ by 0.1 % between builds and kernels of llama.cpp.
_SAME_BASE = 0.001
# How samples without a score count in logs, the strictest first.
_MISSING = ("fail", "as-wrong", "drop")

# Whether the new value of a setting demands less: called with the old value and the new one, None if removed.
Rule = Callable[[Any, Any], bool]


def _has_lost_item(before: Sequence[str] | None, now: Sequence[str] | None) -> bool:
    """Whether an item of the old list is not in the new one."""
    return any(item not in (now or ()) for item in before or ())


def _is_smaller(before: float | None, now: float | None) -> bool:
    """Whether a number was removed or is smaller."""
    return before is not None and (now is None or now < before)


def _is_smaller_if_set(before: int, now: int | None) -> bool:
    """Whether a number that is still set is smaller."""
    return now is not None and now < before


def _is_removed_or_changed(before: object, now: object) -> bool:
    """Whether a value was removed or changed. A value that was not set before is stricter."""
    return bool(before) and before != now


def _is_turned_on(before: object, now: object) -> bool:
    return bool(now) and not before


def _has_lighter_loads(before: Sequence[Json] | None, now: Sequence[Json] | None) -> bool:
    """Whether a load is missing, has fewer requests or turns, or has another level of service."""
    by_arrival = {(load["concurrency"], load["request_rate"]): load for load in now or ()}
    for load in before or ():
        same = by_arrival.get((load["concurrency"], load["request_rate"]))
        if same is None or same["requests"] < load["requests"] or same["blocks"] < load["blocks"]:
            return True
        if same["service_level"] != load["service_level"]:
            return True
    return False


def _has_lighter_requests(before: Mapping[str, float | None], now: Mapping[str, float] | None) -> bool:
    """Whether a load that is still judged has fewer requests, or shorter or unknown prompts or answers."""
    if now is None:
        return False
    return any(was is not None and (now.get(name) or 0) < was * (1 - _ALIKE) for name, was in before.items())


def _is_more_lenient(before: str, now: str | None) -> bool:
    """Whether samples without a score count less against a model than before."""
    return now is not None and _MISSING.index(now) > _MISSING.index(before)


def _has_new_item(before: Sequence[str], now: Sequence[str] | None) -> bool:
    return not set(now or ()) <= set(before)


def _is_changed_if_set(before: object, now: object) -> bool:
    """Whether a value that is still set has changed. What this does to a verdict is not known."""
    return now is not None and before != now


def _has_other_range(before: object, now: object) -> bool:
    """Whether the range of scores has changed, as far as the user declares it.

    Whether all scores are 0 or 1 depends on the answers, so a change of that alone does not count.
    """
    if now is None or before == now:
        return False
    by_answers = (RIGHT_OR_WRONG, NOT_DECLARED, [0, 1])
    return RIGHT_OR_WRONG not in (before, now) or before not in by_answers or now not in by_answers


def _has_other_base(before: Mapping[str, Any], now: Mapping[str, Any] | None) -> bool:
    """Whether a KL log is of another text or base, or does not show it any more.

    That it has fewer chunks is another setting.
    """
    if now is None or now["chunks"] < before["chunks"] or before["perplexity"] is None:
        return False
    return now["perplexity"] is None or is_other_base(before["perplexity"], now["perplexity"])


def is_other_base(perplexity: float, other: float) -> bool:
    """Whether two perplexities of the base show that KL logs are of different texts or bases."""
    return abs(log(other / perplexity)) > _SAME_BASE


# The rules by key. _find_rule has the rules of prefixes.
_RULES: Mapping[str, Rule] = {
    "suite.opt_in": _is_turned_on,
    "task.group": _is_removed_or_changed,
    "task.slices": _has_lost_item,
    "teacher.model": _is_removed_or_changed,
    "teacher.sha256": _is_removed_or_changed,
    "budgets.family": _is_removed_or_changed,
    "logs.missing": _is_more_lenient,
    "logs.allow": _has_new_item,
    _COMPARED: _has_lost_item,
    _DIFFERENCES: _has_new_item,
    LOADS: _has_lost_item,
    "logs.positive": _is_changed_if_set,
    "logs.analyses": _is_smaller,
    "measure.metrics": _has_lost_item,
    "measure.workloads": _has_lost_item,
    "measure.loads": _has_lighter_loads,
    "measure.end_to_end": _is_removed_or_changed,
    "measure.warmup": _is_smaller,
    "measure.rounds": _is_smaller,
    "measure.max_seconds": _is_smaller,
}


def list_weaker_settings(before: Mapping[str, object], now: Mapping[str, object]) -> Iterator[Weakening]:
    """The settings that demand less. A setting that the earlier record lacks was not demanded.

    Records of earlier versions have no settings. Without settings now, there is nothing to compare.
    """
    for key, old in before.items() if now else ():
        demands_less = _find_rule(key)
        if demands_less(old, now.get(key)):
            yield Weakening(about="settings", change=_describe_setting(key, old, now.get(key)))


def _find_rule(key: str) -> Rule:
    """The rule of a key, or of its prefix; without a rule, any change counts."""
    by_prefix: Mapping[str, Rule] = {
        CODE: _is_changed_if_set,
        DIRECTION: _is_changed_if_set,
        RANGE: _has_other_range,
        UNIT: _is_changed_if_set,
        CHUNKS: _is_smaller_if_set,
        REQUESTS: _has_lighter_requests,
        BASE_OF_KL: _has_other_base,
        BASE_CONTENTS: _is_removed_or_changed,
    }
    return _RULES.get(key) or next((by_prefix[start] for start in by_prefix if key.startswith(start)), ne)


def _describe_setting(key: str, old: Any, new: Any) -> str:
    if key.startswith(CODE):
        return f"the code of {key.removeprefix(CODE)} has changed"
    table, _, name = key.partition(".")
    if key.startswith(BASE_CONTENTS):
        return f"the {name} in the base's log {'are not judged now' if new is None else 'have changed'}"
    if key == _COMPARED:
        names = ", ".join(SETTING_WORDS.get(item, item) for item in old if item not in (new or ()))
        return f"settings that were compared are not in both logs now: {names}"
    if key == _DIFFERENCES:
        more = "; ".join(cut_end(item, _MAX_CHARACTERS) for item in new or () if item not in old)
        return f"the logs of base and target differ in more than before, and allow accepts it: {more}"
    if key == REFUSALS:
        return "the patterns or the function that say which answers are refusals have changed"
    if key == "teacher.files":
        return "the teacher is another model: its files differ"
    return f"[{table}] {name} was {format_setting(old)} and is {format_setting(new)}"


def format_setting(value: object) -> str:
    """The value of a setting as JSON; only its beginning if it is long."""
    shown = "not set" if value in (None, {}) else json.dumps(value, ensure_ascii=False)
    return cut_end(shown, _MAX_CHARACTERS)


_LOAD_MODEL = "load_model"
_SELF_TESTS = ("identical", "planted_fault", "planted_delay")
ABOVE_CAP = "above_cap_max"
# The comparison of all samples of logs.
POOLED = "pooled"


def read_demands(record: RunRecord) -> Demands:
    """The demands of a record's gate; for a record without them, such as one of logs, what it judged."""
    demands = record.demands or read_judged_demands(record)
    teacher = record.variants[0]
    self_tests = [name for name in _SELF_TESTS if getattr(record.self_test, name) is not None]
    update = {
        "rows": demands.rows or _read_judging_rows(record),
        "teacher": None if _is_trained(teacher) or teacher.artifact is None else teacher.artifact.digest,
        "self_tests": self_tests,
    }
    return demands.model_copy(update=update)


def is_known_by_files(model: VariantRecord) -> bool:
    """Whether equal digests of a teacher's artifact mean equal answers. A server has no such digest.

    Nor has a trained teacher: its files differ between machines by rounding, so its settings and rows are
    compared.
    """
    return model.artifact is not None and model.artifact.bytes is not None and not _is_trained(model)


def _is_trained(model: VariantRecord) -> bool:
    return any(step.name != _LOAD_MODEL or step.log.get("head") for step in model.steps)


def _read_judging_rows(record: RunRecord) -> dict[str, DemandedRows]:
    splits = record.task.splits
    return {
        name: DemandedRows(n=splits[name].n, digest=splits[name].digest) for name in JUDGING if name in splits
    }


def read_judged_demands(record: RunRecord) -> Demands:
    """The demands as far as the results show them, for a record of judged files or one without demands."""
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


def read_positive(record: RunRecord) -> str | None:
    """The positive label of judged predictions, as stated or by convention; None if it is not known."""
    params = record.task.params or {}
    if record.task.kind != PREDICTIONS or params.get("positive") is not None:
        return params.get("positive")
    return find_conventional_positive(params["labels"])


def _read_log_settings(record: RunRecord) -> dict[str, object]:
    """The rules by which files were compared, as far as the record states them."""
    params = record.task.params or {}
    if record.task.kind == PREDICTIONS:
        positive = read_positive(record)
        return {} if positive is None else {f"{LOGS}positive": positive}
    settings: dict[str, object] = {f"{LOGS}{name}": value for name, value in params.get(RULES, {}).items()}
    if record.task.kind == LOAD_TESTS:
        return {**settings, LOADS: _list_judged_loads(record), **_read_requests(record)}
    if record.task.kind == KL_LOGS:
        of_variants = {model.name: model.kl_log for model in record.variants if model.kl_log is not None}
        kl_logs = {name: facts for name, facts in of_variants.items() if facts.budgets}
        bases = {
            f"{BASE_OF_KL}{name}": {"chunks": facts.chunks, "perplexity": facts.base_perplexity}
            for name, facts in kl_logs.items()
        }
        return {**{f"{CHUNKS}{name}": facts.chunks for name, facts in kl_logs.items()}, **bases}
    if record.task.kind != RECORD_KIND:
        return {}
    limited = list_limited(record)
    if not any(name.rpartition("/")[2] == _REFUSED for name in limited):
        settings.pop(REFUSALS, None)
    for comparison in params.get("comparisons", []):
        if comparison["name"] in limited or POOLED in limited:
            settings |= _read_comparison_settings(comparison, params)
    with_budget = _list_with_budget(record)
    settings |= {
        f"{BASE_CONTENTS}samples of {name}": part["samples"]
        for name, part in record.task.log_slices.items()
        if name in with_budget and "samples" in part
    }
    return settings


def _read_comparison_settings(comparison: Json, params: Json) -> dict[str, object]:
    """How a comparison of logs was judged: its direction, range and unit, and the contents of the base."""
    name = comparison["name"]
    is_right_or_wrong = comparison["zero_one"] and comparison.get("range") in (None, [0, 1])
    stated_range = comparison.get("range") or NOT_DECLARED
    settings: dict[str, object] = {
        f"{DIRECTION}{name}": comparison["higher_is_better"],
        f"{RANGE}{name}": RIGHT_OR_WRONG if is_right_or_wrong else stated_range,
    }
    if comparison.get("length_in") is not None:
        settings[f"{UNIT}{name}"] = comparison["length_in"]
    if (place := comparison.get(CONTENTS)) is not None:
        allowed = params.get(RULES, {}).get("allow", ())
        settings |= {
            # the answers may change, but a log without answers does not show how they were scored
            f"{BASE_CONTENTS}{key}s of {place}": True if key == ANSWER else value
            for key, value in params[CONTENTS][place].items()
            if key not in allowed
        }
    return settings


def _list_judged_loads(record: RunRecord) -> list[str]:
    """The loads at which a budget of any target is judged."""
    loads = {load for model in record.variants for load, facts in model.load_tests.items() if facts.budgets}
    return sorted(loads)


def _read_requests(record: RunRecord) -> dict[str, object]:
    """How many requests the base has at each judged load, and of which lengths."""
    return {
        f"{REQUESTS}{load}": {
            "requests": facts.base.requests,
            "prompt_tokens": facts.base.prompt_tokens,
            "answer_tokens": facts.base.answer_tokens,
        }
        for model in record.variants
        for load, facts in model.load_tests.items()
        if facts.budgets
    }


def _list_with_budget(record: RunRecord) -> set[str]:
    """The metrics, comparisons and slices that a budget of any model limits."""
    return {name for model in record.variants for name, facts in model.quality.items() if facts.budgets}


def list_limited(record: RunRecord) -> set[str]:
    """The comparisons that a budget of any target limits, on all samples or on those of a slice."""
    limited = _list_with_budget(record)
    slices = record.task.log_slices
    return {slices[name]["of"] if name in slices else name for name in limited}


def _list_budgets(model: VariantRecord, *, with_caps: bool) -> Iterator[DemandedBudget]:
    """Lists each budget once, also one that waits, and a latency budget once for all workloads.

    with_caps: whether the options include the cap of a mean without a bound, which a suite states itself.
    """
    judged = {
        ("latency" if budget.subject == "latency" else budget.name, budget.facts.kind): budget.facts
        for budget in list_judged_budgets(model)
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


def _read_cap(budget: BudgetFacts) -> dict[str, float]:
    """The cap that a row counts for, and the share of rows above it if the user stated it."""
    capped = budget.capped
    if capped is None:
        return {}
    return {"cap": capped.cap} if capped.derived else {"cap": capped.cap, ABOVE_CAP: capped.above_max}
