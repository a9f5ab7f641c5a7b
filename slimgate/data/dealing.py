"""Deals the rows of one pool to the splits that are drawn from it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from slimgate.data.pools import Pool
from slimgate.data.strata import Floats, Ints, Mask, draw_groups, draw_rows
from slimgate.errors import DataError
from slimgate.protocols import DRAWN, UNLABELLED

Asked = int | Literal["rest"]


def deal(pool: Pool, plan: Mapping[str, Asked], seed: int, *, grouped: bool) -> dict[str, Ints]:
    """Row positions of each split of the plan. Raises DataError where there are too few.

    Where the sizes would not be filled otherwise, rows of one text are drawn together, as a group is, and
    then labels give way.
    """
    groups = pool.groups if grouped else pool.texts
    drawn = _draw(pool, plan, seed, groups=groups if grouped else None, labels=pool.labels)
    for labels in (pool.labels, np.zeros_like(pool.labels)):
        if _short(plan, drawn):
            drawn = _draw(pool, plan, seed, groups=groups, labels=labels)
    if short := _short(plan, drawn):
        raise DataError(_too_few(pool, plan, short, len(drawn[short]), grouped=grouped))
    return {split: drawn[split] for split in plan}


def _draw(
    pool: Pool, plan: Mapping[str, Asked], seed: int, *, groups: Ints | None, labels: Ints
) -> dict[str, Ints]:
    """Later splits first, the rest last; the texts and groups of what is drawn are gone for the others."""
    free = pool.free.copy()
    if groups is not None:
        _, groups = np.unique(groups, return_inverse=True)
    rest = next((split for split, size in plan.items() if size == "rest"), None)
    drawn: dict[str, Ints] = {}
    for split in sorted(plan, key=lambda name: (name != rest, DRAWN.index(name)), reverse=True):
        random = np.random.default_rng([seed, zlib.crc32(pool.name.encode()), zlib.crc32(split.encode())])
        keys, size = random.permutation(len(pool)), plan[split]
        known = np.zeros_like(labels) if split == UNLABELLED else labels  # nobody knows its labels
        if size == "rest":
            rows = np.flatnonzero(free)
            drawn[split] = rows[np.argsort(keys[rows])]
            break
        among = free
        if rest is not None and DRAWN.index(split) < DRAWN.index(rest):
            # The rest may not lose rows to this earlier split, so this one leaves texts that recur to it.
            among = free & ~_recurring(pool, free, pool.groups if groups is None else groups)
        if groups is not None:
            group_keys = random.permutation(int(groups.max(initial=-1)) + 1)
            among = draw_groups(
                size, among=among, labels=known, shares=shares_of(known), groups=groups, keys=group_keys
            )
            free &= ~_members(groups, np.flatnonzero(among))
        drawn[split] = draw_rows(size, among=among, labels=known, shares=shares_of(known), keys=keys)
        free[drawn[split]] = False
        free &= ~_members(pool.texts, drawn[split])
    return drawn


def _members(codes: Ints, rows: Ints) -> Mask:
    """Rows whose code one of the given rows has."""
    marked = np.zeros(int(codes.max(initial=-1)) + 1, dtype=np.bool_)
    marked[codes[rows]] = True
    return marked[codes]


def _recurring(pool: Pool, free: Mask, groups: Ints) -> Mask:
    """Rows whose text a free row of another group has as well."""
    span = int(groups.max(initial=0)) + 1
    pairs = np.unique(pool.texts[free] * span + groups[free])
    holders = np.bincount(pairs // span, minlength=int(pool.texts.max(initial=-1)) + 1)
    recurring: Mask = (holders > 1)[pool.texts]
    return recurring


def shares_of(labels: Ints) -> Floats:
    """The share of each label code; they sum to 1."""
    shares: Floats = np.bincount(labels, minlength=1) / max(1, len(labels))
    return shares


def _short(plan: Mapping[str, Asked], drawn: Mapping[str, Ints]) -> str | None:
    """The first split that has fewer rows than it should, and for "rest" none."""
    return next((s for s in plan if len(drawn[s]) < (1 if plan[s] == "rest" else int(plan[s]))), None)


def _too_few(pool: Pool, plan: Mapping[str, Asked], short: str, got: int, *, grouped: bool) -> str:
    asked = ", ".join(f"{split} {size}" for split, size in plan.items())
    dropped = f"{int(pool.by_text.sum())} dropped because a later part holds their text"
    if grouped:
        dropped += f", {int(pool.by_group.sum())} because a later part holds their group"
    inside = "; no group and no text may stand in two splits" if int(pool.free.sum()) else ""
    return (
        f"too few rows for split {short}: part {pool.name} came with {len(pool)} rows, {dropped}, "
        f"{int(pool.free.sum())} left{inside}; asked {asked}; {short} got {got}. Ask for fewer rows"
    )


@dataclass(frozen=True)
class Dropped:
    """Rows of a part that no split holds because a later split or part holds their text, their group.

    near: those of `overlap` whose text stands there only in other case, punctuation or order.
    """

    overlap: int
    near: int
    group: int


NOTHING_DROPPED = Dropped(0, 0, 0)


def left_out(pool: Pool, drawn: Mapping[str, Ints]) -> Dropped:
    """What was dropped of a part, given the rows of each split that were drawn from it."""
    later = np.concatenate([np.empty(0, np.int64), *list(drawn.values())[1:]])
    undrawn = np.ones(len(pool), dtype=np.bool_)
    undrawn[np.concatenate(list(drawn.values()))] = False
    within = undrawn & pool.free & _members(pool.texts, later)
    near = within & ~_members(pool.exact_texts, later)
    return Dropped(
        overlap=int(pool.by_text.sum() + within.sum()),
        near=int(pool.by_near_text.sum() + near.sum()),
        group=int(pool.by_group.sum()),
    )
