"""The differences of two logs: the user allows some, which become a note; the others are refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from slimgate.errors import DataError, SuiteError, did_you_mean, format_suggestion, list_names
from slimgate.logs.answer_columns import AnswerChecks
from slimgate.plugins.reader import COMPARED

_MOST_REFUSED = 8
_MOST_TASKS = 3
HINT = "--missing drop leaves them out, --missing as-wrong counts those that only the target lacks as wrong"


@dataclass
class Differences:
    """The differences so far while two logs are compared.

    shown: base and target, as messages name them.
    allow: what may differ (`--allow`).
    notes: what was accepted.
    tools: what wrote base and target, for a refusal; "" if one version of one tool did.
    accepted: each difference that was accepted, in words that change only if something else differs.
    """

    shown: tuple[str, str]
    allow: Collection[str] = ()
    notes: list[str] = field(default_factory=list)
    tools: str = ""
    accepted: set[str] = field(default_factory=set)
    _refused: dict[str, list[str]] = field(default_factory=dict)
    _flags: dict[str, None] = field(default_factory=dict)
    _missing: dict[str, list[str]] = field(default_factory=dict)
    _noted: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    _is_final: bool = False

    @property
    def has_refused(self) -> bool:
        """Whether the logs are not comparable, so that nothing needs to be judged."""
        return bool(self._refused or self._missing)

    def add(self, name: str, where: str, text: str, example: str = "", *, values: str | None = None) -> None:
        """Adds a difference that `--allow NAME` accepts.

        where: the task, or "". example: for the refusal. values: both values of a setting, uncut.
        """
        if name in self.allow:
            self.notes.append(prefix_place(where, text))
            self.accepted.add(prefix_place(where, name if values is None else f"{name} {values}"))
            return
        self._refused.setdefault(text + example, []).append(where)
        self._flags[name] = None

    def refuse(self, where: str, text: str) -> None:
        """Adds a difference that no option accepts."""
        places = self._refused.setdefault(text, [])
        places += [where] if where not in places else []
        self._is_final = True

    def add_missing(self, where: str, text: str) -> None:
        """Adds samples without a score, if `--missing` is not given. where: the comparison."""
        self._missing.setdefault(text, []).append(where)

    def note_missing(self, where: str, text: str) -> None:
        """Adds the note on samples without a score, if `--missing` is given. where: the comparison."""
        place, comparisons = self._noted.setdefault(text, (len(self.notes), []))
        comparisons.append(where)
        self.notes[place : place + 1] = [f"{_list_places(comparisons)}{text}"]

    def check(self) -> None:
        """Raises DataError with every difference that is not accepted."""
        parts = []
        if self._refused:
            parts.append(self._describe_refused())
        if self._missing:
            parts.append(f"{_join(_describe_places(self._missing))}: {HINT}")
        if parts:
            raise DataError("; and ".join(parts))

    def _describe_refused(self) -> str:
        base, target = self.shown
        tools = f" ({self.tools})" if self.tools else ""
        words = f"{base} and {target} are not comparable{tools}: {_join(_describe_places(self._refused))}"
        if not self._flags:
            return words
        accepted = "the rest" if self._is_final else "it" if len(self._refused) == 1 else "them"
        return f"{words}; accept {accepted} by {' '.join(f'--allow {name}' for name in self._flags)}"


def prefix_place(where: str, text: str) -> str:
    """`gsm8k (strict): text`; the text alone for a log without tasks."""
    return f"{where}: {text}" if where else text


def _join(texts: list[str]) -> str:
    more = len(texts) - _MOST_REFUSED
    return "; ".join(texts[:_MOST_REFUSED]) + (f"; and {more} more like these" if more > 0 else "")


def _describe_places(places_of: Mapping[str, list[str]]) -> list[str]:
    """Each text with the places that differ in it."""
    return [f"{_list_places(places)}{text}" for text, places in places_of.items()]


def _list_places(places: list[str]) -> str:
    """`gsm8k, arc and 5 more: `, the tasks that differ in the same."""
    named = [place for place in places if place]
    if not named:
        return ""
    return f"{list_names(named, _MOST_TASKS)}: "


Missing = Literal["fail", "drop", "as-wrong"]
SameId = Literal["fail", "epochs", "runs"]


@dataclass(frozen=True)
class Rules:
    """What the user allows in a comparison of two logs, and how the logs are read.

    allow: the differences that are accepted (`--allow`).
    missing: what happens to samples without a score (`--missing`).
    analyses: how often the target's log is judged while it grows; samples after its last one are not run yet.
    directions: pattern of a comparison's name, task or metric -> whether it is better when higher.
    runs: which run of a log that holds several, from `parse_choices`.
    same_id: the meaning of several rows of one id: "fail" refuses them, "epochs" reads them as repeats of one
        sample, "runs" as separate runs, and also the epochs that the log numbers.
    models: which model of a log that holds several, from `parse_models`.
    slices: fields of the samples by which each comparison is sliced.
    checks: of the answers, if their behaviour is judged too.

    Raises SuiteError for an unknown value of missing or same_id.
    """

    allow: frozenset[str] = frozenset()
    missing: Missing = "fail"
    analyses: int = 1
    directions: Mapping[str, bool] = field(default_factory=dict)
    runs: Mapping[str, str] = field(default_factory=dict)
    same_id: SameId = "fail"
    models: Mapping[str, str] = field(default_factory=dict)
    slices: tuple[str, ...] = ()
    checks: AnswerChecks | None = None

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("missing", self.missing, get_args(Missing)),
            ("same_id", self.same_id, get_args(SameId)),
        ):
            if value not in choices:
                near = did_you_mean(str(value), choices)
                raise SuiteError(f"{name}={value!r}: expected one of {', '.join(choices)}{near}")


def check_allowed(allow: Collection[str]) -> None:
    """Raises DataError for a name that is not an allowed difference of logs."""
    for name in allow:
        if name not in COMPARED:
            raise DataError(
                f"--allow {name}: expected one of {', '.join(COMPARED)}{format_suggestion(name, COMPARED)}"
            )
