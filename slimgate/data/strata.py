"""Draws the rows of the splits of one part: by labels, with groups and equal texts together."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Literal

import numpy as np

from slimgate.data.arrow import Mask
from slimgate.data.parts import Pool
from slimgate.errors import DataError
from slimgate.outcomes import Floats, Ints
from slimgate.plugins.rows import SPLIT_ORDER, UNLABELLED

RequestedSize = int | Literal["rest"]


def assign_rows(
    pool: Pool, plan: Mapping[str, RequestedSize], seed: int, *, grouped: bool
) -> dict[str, Ints]:
    """The positions of the rows of each split of the plan. Raises DataError if there are too few rows.

    If the sizes cannot be reached, it tries to draw rows with the same text together, as a group is drawn. If
    that fails too, it ignores the shares of labels.
    """
    groups = pool.groups if grouped else pool.texts
    drawn = _draw_splits(pool, plan, seed, groups=groups if grouped else None, labels=pool.labels)
    no_labels = np.zeros_like(pool.labels)
    for labels in (pool.labels, no_labels):
        if _find_short_split(plan, drawn):
            drawn = _draw_splits(pool, plan, seed, groups=groups, labels=labels)
    if short := _find_short_split(plan, drawn):
        raise DataError(_describe_too_few(pool, plan, short, len(drawn[short]), grouped=grouped))
    return {split: drawn[split] for split in plan}


def _draw_splits(
    pool: Pool, plan: Mapping[str, RequestedSize], seed: int, *, groups: Ints | None, labels: Ints
) -> dict[str, Ints]:
    """Draws later splits first, and the split with size "rest" last.

    After each split, the rows that share a text or a group with its rows are no longer free.
    """
    free = pool.free.copy()
    if groups is not None:
        _, groups = np.unique(groups, return_inverse=True)
    rest = next((split for split, size in plan.items() if size == "rest"), None)
    drawn: dict[str, Ints] = {}
    for split in sorted(plan, key=lambda name: (name != rest, SPLIT_ORDER.index(name)), reverse=True):
        random = np.random.default_rng([seed, zlib.crc32(pool.name.encode()), zlib.crc32(split.encode())])
        keys, size = random.permutation(len(pool)), plan[split]
        known = np.zeros_like(labels) if split == UNLABELLED else labels  # these rows have no known labels
        if size == "rest":
            rows = np.flatnonzero(free)
            drawn[split] = rows[np.argsort(keys[rows])]
            break
        among = free
        if rest is not None and SPLIT_ORDER.index(split) < SPLIT_ORDER.index(rest):
            # The rest may not lose rows to this earlier split, so this split draws no text that recurs.
            among = free & ~_mark_recurring_rows(pool, free, pool.groups if groups is None else groups)
        if groups is not None:
            group_keys = random.permutation(int(groups.max(initial=-1)) + 1)
            among = draw_groups(
                size,
                among=among,
                labels=known,
                shares=compute_label_shares(known),
                groups=groups,
                keys=group_keys,
            )
            free &= ~mark_sharing_rows(groups, np.flatnonzero(among))
        drawn[split] = draw_rows(
            size, among=among, labels=known, shares=compute_label_shares(known), keys=keys
        )
        free[drawn[split]] = False
        free &= ~mark_sharing_rows(pool.texts, drawn[split])
    return drawn


def mark_sharing_rows(codes: Ints, rows: Ints) -> Mask:
    """Rows that share a code with any of the given rows."""
    marked = np.zeros(int(codes.max(initial=-1)) + 1, dtype=np.bool_)
    marked[codes[rows]] = True
    return marked[codes]


def _mark_recurring_rows(pool: Pool, free: Mask, groups: Ints) -> Mask:
    """Rows whose text also occurs in a free row of another group."""
    span = int(groups.max(initial=0)) + 1
    pairs = np.unique(pool.texts[free] * span + groups[free])
    holders = np.bincount(pairs // span, minlength=int(pool.texts.max(initial=-1)) + 1)
    recurring: Mask = (holders > 1)[pool.texts]
    return recurring


def compute_label_shares(labels: Ints) -> Floats:
    """The share of each label code; they sum to 1."""
    shares: Floats = np.bincount(labels, minlength=1) / max(1, len(labels))
    return shares


def _find_short_split(plan: Mapping[str, RequestedSize], drawn: Mapping[str, Ints]) -> str | None:
    """The first split that has fewer rows than it should; for "rest", a split without rows."""
    least = {split: 1 if size == "rest" else size for split, size in plan.items()}
    return next((split for split in plan if len(drawn[split]) < least[split]), None)


def _describe_too_few(
    pool: Pool, plan: Mapping[str, RequestedSize], short: str, count: int, *, grouped: bool
) -> str:
    """The message about a split that is too short. count: its rows."""
    sizes_stated = ", ".join(f"{split} {size}" for split, size in plan.items())
    dropped = f"{int(pool.dropped_by_text.sum())} dropped because a later part has their text"
    if grouped:
        dropped += f", {int(pool.dropped_by_group.sum())} because a later part has their group"
    inside = "; no group and no text may be in two splits" if int(pool.free.sum()) else ""
    return (
        f"too few rows for split {short}: part {pool.name} has {len(pool)} rows, {dropped}, "
        f"{int(pool.free.sum())} left{inside}; asked {sizes_stated}; {short} got {count}. Ask for fewer rows"
    )


def apportion_total(total: int, weights: Floats, limits: Ints) -> Ints:
    """Divides `total` in proportion to `weights` into whole numbers up to `limits`, by largest remainder.

    total: the rows of a split, for example. weights, limits: (labels,). The numbers sum to min(total,
    limits.sum()). Weights are above 0 wherever limits are.
    """
    total = min(total, int(limits.sum()))
    full = limits <= 0  # labels that get no more than their limit; the others share what is left
    while True:
        open_weights = np.where(full, 0.0, weights)
        left = total - int(limits[full].sum())
        ideal = np.where(full, limits, left * open_weights / (open_weights.sum() or 1.0))
        over = ~full & (ideal > limits)
        if not over.any():
            break
        full |= over
    floors = np.floor(ideal + 1e-9).astype(np.int64)
    largest = np.argsort(floors - ideal, kind="stable")
    floors[largest[: total - int(floors.sum())]] += 1
    return floors


def draw_rows(size: int, *, among: Mask, labels: Ints, shares: Floats, keys: Ints) -> Ints:
    """The positions of `size` rows, or of all if there are fewer, by rising key.

    Each label gets a number of rows by its share, those with the smallest keys.

    among: (rows,) which rows may be drawn. labels: (rows,) codes. keys: (rows,) random numbers. shares:
    (labels,) each label's share in the rows that the split should resemble.
    """
    order = np.flatnonzero(among)
    order = order[np.argsort(keys[order])]
    quotas = apportion_total(size, shares, np.bincount(labels[order], minlength=len(shares)))
    by_label = np.argsort(labels[order], kind="stable")
    sorted_labels = labels[order][by_label]
    starts = np.searchsorted(sorted_labels, np.arange(len(shares)))
    rank = np.arange(len(order)) - starts[sorted_labels]
    return order[np.sort(by_label[rank < quotas[sorted_labels]])]


def draw_groups(size: int, *, among: Mask, labels: Ints, shares: Floats, groups: Ints, keys: Ints) -> Mask:
    """Chooses whole groups with `size` rows near `shares`, or a few more, and returns the mask of their rows.

    Groups are tried by rising key. A group is taken first if no label gets too many rows by it. The other
    groups then fill what is still missing.

    among, labels, shares: as in draw_rows. groups: (rows,) codes. keys: (groups,) random numbers.
    """
    rows = np.flatnonzero(among)
    n_labels = len(shares)
    # A cell is a pair of group and label. Its number is group * n_labels + label.
    cells, counts = np.unique(groups[rows] * n_labels + labels[rows], return_counts=True)
    owners = cells // n_labels
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    ends = np.append(starts, len(cells))[1:]
    positions = _choose_groups(
        apportion_total(size, shares, np.bincount(labels[rows], minlength=n_labels)).tolist(),
        spans=list(zip(starts.tolist(), ends.tolist(), strict=True)),
        order=np.argsort(keys[owners[starts]]).tolist(),
        labels=(cells % n_labels).tolist(),
        counts=counts.tolist(),
    )
    chosen = np.zeros(len(keys), dtype=np.bool_)
    chosen[owners[starts][positions]] = True
    return among & chosen[groups]


def _choose_groups(
    need: list[int], *, spans: list[tuple[int, int]], order: list[int], labels: list[int], counts: list[int]
) -> Ints:
    """The positions of the chosen groups in `spans`.

    need: the rows that each label still needs, which is changed; spans: the cells of each group, one for each
    of its labels; order: of the groups; labels, counts: of each cell.
    """
    chosen: list[int] = []
    too_large: list[int] = []
    left = sum(need)
    for group in order:
        if not left:
            break
        cells = range(*spans[group])
        if any(counts[cell] > need[labels[cell]] for cell in cells):
            too_large.append(group)
            continue
        chosen.append(group)
        left -= _subtract_from_need_(cells, need, labels, counts)
    for group in too_large:
        if not left:
            break
        useful = _subtract_from_need_(range(*spans[group]), need, labels, counts)
        if useful:
            chosen.append(group)
            left -= useful
    return np.asarray(chosen, dtype=np.int64)


def _subtract_from_need_(cells: range, need: list[int], labels: list[int], counts: list[int]) -> int:
    """Subtracts a group's rows from `need`, and returns how many of them were needed."""
    used = 0
    for cell in cells:
        rows = min(counts[cell], need[labels[cell]])
        need[labels[cell]] -= rows
        used += rows
    return used
