"""Draws the rows and groups of a split from arrays of labels, groups and keys. It reads no tables."""

from __future__ import annotations

import numpy as np

from slimgate.data.arrow import Mask
from slimgate.outcomes import Floats, Ints


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
