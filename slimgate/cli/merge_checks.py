"""Whether records are the shards of one run: each once, of the same suite, rows, code and teacher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from slimgate.errors import DataError
from slimgate.record import RunRecord, ShardFacts
from slimgate.record.files import TEACHER, Kept

# What must be equal in all shards, and how it is called; the gate's digest goes before all else of the rows.
_ALIKE: tuple[tuple[str, Callable[[RunRecord], Any]], ...] = (
    ("suite", lambda record: record.suite.path),
    ("suite digest", lambda record: record.suite.digest),
    ("number of shards", lambda record: record.shards[0].of),
    ("version of slimgate", lambda record: record.slimgate),
    ("digest of slimgate's code", lambda record: record.shards[0].code),
    ("versions of libraries", lambda record: [record.machine.python, record.machine.libraries]),
    ("device", lambda record: record.machine.device),
    ("gate digest", lambda record: getattr(record.task.splits.get("gate"), "digest", None)),
    ("rows or task", lambda record: record.task),
    ("baseline", lambda record: record.baseline),
)


def in_order(shards: Sequence[Kept]) -> list[Kept]:
    """The shards by their numbers. Raises DataError, in one line, where they are not those of one run."""
    for one in shards:
        if len(one.record.shards) != 1:
            what = "was merged already" if one.record.shards else "was run without --slimgate-shard"
            raise DataError(f"{one.file}: expected the record of one shard; this one {what}")
    for what, of in _ALIKE:
        _alike(shards, what, of)
    _each_once(shards)
    _alike(
        [one for one in shards if one.record.variant(TEACHER).artifact is not None],
        "teacher (digest of its artifact; build it once and share the store, or use machines of one kind)",
        lambda record: getattr(record.variant(TEACHER).artifact, "digest", None),
    )
    _dealt_whole(shards)
    return sorted(shards, key=lambda one: shard(one).number)


def shard(one: Kept) -> ShardFacts:
    """Which shard a record is."""
    return one.record.shards[0]


def _alike(shards: Sequence[Kept], what: str, of: Callable[[RunRecord], Any]) -> None:
    for one in shards[1:]:
        before, after = of(shards[0].record), of(one.record)
        if before != after:
            said = f": {before} and {after}" if isinstance(before, str | int) else ""
            raise DataError(
                f"{shards[0].file} and {one.file} are not shards of one run: another {what}{said}"
            )


def _each_once(shards: Sequence[Kept]) -> None:
    numbers = [shard(one).number for one in shards]
    of = shard(shards[0]).of
    for number, times in sorted(Counter(numbers).items()):
        if times > 1:
            files = " and ".join(str(one.file) for one in shards if shard(one).number == number)
            raise DataError(f"shard {number}/{of} came {times} times: {files}; expected each once")
    if missing := [number for number in range(1, of + 1) if number not in numbers]:
        which = "shard" if len(missing) == 1 else "shards"
        raise DataError(
            f"{which} {_listed(missing)} of {of} missing; came {_listed(sorted(numbers))}: "
            "give the record of every shard"
        )


def _dealt_whole(shards: Sequence[Kept]) -> None:
    names = [model.name for model in shards[0].record.variants[1:]]
    owned = Counter(name for one in shards for name in shard(one).variants)
    if wrong := [name for name in {**dict.fromkeys(names), **owned} if owned[name] != 1 or name not in names]:
        raise DataError(f"variants that are not in exactly one shard: {_listed(wrong)}; run all shards again")


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))
