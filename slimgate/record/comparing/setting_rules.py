"""The rules that decide whether the new value of a setting demands less than its old value.

If a key of a suite has no rule, any change of its value counts as weaker.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import ne
from typing import TYPE_CHECKING, Any

from slimgate.plugins.reader import SETTING_WORDS
from slimgate.record.verdicts import Weakening

if TYPE_CHECKING:
    from slimgate.plugins.base import Json

# Prefix of the keys of settings that hold a digest of code.
CODE = "code."
# Keys of the settings of judged files. Keys about a comparison end with the name of the comparison.
LOGS = "logs."
_COMPARED, LOADS = f"{LOGS}compared", f"{LOGS}loads"
CHUNKS = f"{LOGS}number of chunks of "
DIRECTION, RANGE, UNIT = f"{LOGS}higher_is_better of ", f"{LOGS}range of ", f"{LOGS}unit of "
# Prefix of the keys that hold a digest of the base's documents, prompts or targets.
BASE_CONTENTS = "contents."
RIGHT_OR_WRONG, NOT_DECLARED = "right or wrong", "not declared"
_MAX_CHARACTERS = 80
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
    if key == "teacher.files":
        return "the teacher is another model: its files differ"
    return f"[{table}] {name} was {format_setting(old)} and is {format_setting(new)}"


def format_setting(value: object) -> str:
    """The value of a setting as JSON; only its beginning if it is long."""
    text = "not set" if value in (None, {}) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_CHARACTERS else f"{text[: _MAX_CHARACTERS - 1]}…"
