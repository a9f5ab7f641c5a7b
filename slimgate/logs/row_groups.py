"""Rows that depend on each other, as the logs of both sides state it, such as the rows of one user.

A group belongs to the row and not to a model. So the groups of either log count, and two logs that group the
same rows differently are not comparable. A group that has the sample's own name, such as the epochs of a
sample, is the reader's. It says nothing about other samples, so it never contradicts the groups of a user.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slimgate._system.number_text import format_count
from slimgate.logs.columns import OWN_NAMES, STATED, Samples, digest
from slimgate.logs.predictions.codes import drop_negligible_groups, group_equal, number_groups
from slimgate.logs.predictions.files import format_examples
from slimgate.logs.rules import Differences
from slimgate.outcomes import Ints
from slimgate.plugins.reader import DOCUMENT, PROMPT, TARGET

# The digests of no text.
_NO_TEXT = (0, digest(""))


def digest_documents(samples: Samples) -> Ints:
    """(rows,) digests of each row's document; negative if the log does not have it."""
    rows = np.arange(len(samples))
    key = DOCUMENT if DOCUMENT in samples.keys else PROMPT
    if key not in samples.keys:
        return -1 - rows
    digests = samples.keys[key]
    has_no_text = np.isin(digests, _NO_TEXT)
    if key == PROMPT and TARGET in samples.keys:
        # the product wraps around, as that of a hash may
        digests = np.abs(digests * 1_000_003 ^ samples.keys[TARGET])
    return np.where(has_no_text, -1 - rows, digests)


def group_rows(clusters: Ints | None, documents: Ints) -> Ints | None:
    """(rows,) from 0: the group of each row; None if each row is independent, or nearly so.

    clusters: (rows,) equal for rows that the log itself calls dependent, such as epochs of a sample.
    documents: (rows,) from `digest_documents`, of one task or of several.
    """
    explicit = None if clusters is None else number_groups(clusters)
    shared = group_equal(documents)
    if explicit is None or shared is None:
        return drop_negligible_groups(shared) if explicit is None else explicit
    return join_groups(explicit, shared)


def join_groups(codes: Ints, further: Ints) -> Ints:
    """(rows,) the connected components of rows that share a code of either kind, from 0."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = int(codes.max()) + 1
    nodes = count + int(further.max()) + 1
    edges = np.ones(len(codes), np.int8), (codes, count + further)
    labels = connected_components(coo_matrix(edges, shape=(nodes, nodes)), directed=False)[1]
    return np.unique(labels[codes], return_inverse=True)[1]


Bools = npt.NDArray[np.bool_]
# Stands for a row that a log lacks.
_UNKNOWN = -1


def share_groups(
    where: str,
    base: Samples,
    target: Samples,
    base_rows: Ints,
    target_rows: Ints,
    differences: Differences,
) -> tuple[Samples, Samples]:
    """Both logs with the groups that either of them states. Groups that differ are refused.

    base_rows, target_rows: positions of the samples that both logs have.
    """
    if base.clusters is None and target.clusters is None:
        return base, target
    in_target = np.full(len(base), _UNKNOWN)
    in_target[base_rows] = target_rows
    only_target = np.setdiff1d(np.arange(len(target)), target_rows)
    places = (
        np.concatenate([np.arange(len(base)), np.full(len(only_target), _UNKNOWN)]),
        np.concatenate([in_target, only_target]),
    )
    groups, differing = _merge_groups([base.clusters, target.clusters], places)
    if len(differing):
        examples = format_examples(base.ids.take(pa.array(places[0][differing])))
        differences.refuse(
            where,
            f"groups differ in {len(differing):,} of {format_count(len(base_rows), 'sample', 'samples')} "
            f"({examples}): one log puts them into a group with other samples than the other log does; "
            "expected the same groups in both logs, or groups in one of them",
        )
    base_groups, target_groups = (
        _arrange_by_position(groups, at, len(samples))
        for at, samples in zip(places, (base, target), strict=True)
    )
    return replace(base, clusters=base_groups), replace(target, clusters=target_groups)


def join_run_groups(columns: Sequence[Ints | None], places: Sequence[Ints]) -> Ints | None:
    """(samples,) the `Samples.clusters` of several runs of one model; None if no run has groups.

    places: for each run, (samples,) the row of each sample, -1 if the run lacks it.
    """
    if all(column is None for column in columns):
        return None
    stated, sample_names, _ = _merge(columns, places)
    named = np.max(sample_names, axis=0)  # equal in every run that has the sample
    return np.where(stated >= 0, stated, np.where(named >= 0, named, np.arange(len(stated))))


def _merge_groups(columns: Sequence[Ints | None], places: Sequence[Ints]) -> tuple[Ints, Ints]:
    """(samples,) from 0: the group of each sample over both logs; and positions where the logs differ."""
    stated, sample_names, differing = _merge(columns, places)
    groups = _number(stated)
    for names in sample_names:
        if (names >= 0).any():
            groups = join_groups(groups, _number(names))
    return groups, differing


def _merge(columns: Sequence[Ints | None], places: Sequence[Ints]) -> tuple[Ints, list[Ints], Ints]:
    """(samples,) the groups that any log states, and by log those with the sample's name; -1 if none.

    The last value: positions where two logs state different groups.
    """
    codes = [
        np.full(len(at), _UNKNOWN) if column is None else np.where(at >= 0, column[at], _UNKNOWN)
        for column, at in zip(columns, places, strict=True)
    ]
    merged = np.full(len(places[0]), _UNKNOWN)
    differs = np.zeros(len(merged), np.bool_)
    for column in codes:
        stated = np.where((column >= STATED) & (column < OWN_NAMES), column, _UNKNOWN)
        shared = (merged >= 0) & (stated >= 0)
        differs[shared] |= _mark_differing_rows(merged[shared], stated[shared])
        merged = np.where(merged >= 0, merged, _translate(stated, merged, shared))
    sample_names = [np.where(column >= OWN_NAMES, column, _UNKNOWN) for column in codes]
    return merged, sample_names, np.flatnonzero(differs)


def _mark_differing_rows(before: Ints, after: Ints) -> Bools:
    """(rows,) whether a row is in a group with other rows in one log than in the other."""
    differs = np.zeros(len(before), np.bool_)
    for groups, other in ((before, after), (after, before)):
        _, first, member = np.unique(groups, return_index=True, return_inverse=True)
        differs |= other != other[first][member]
    return differs


def _translate(stated: Ints, merged: Ints, shared: Bools) -> Ints:
    """The codes of a log as those of the logs before it, for groups that share a row with theirs."""
    names, first = np.unique(stated[shared], return_index=True)
    if not len(names):
        return stated
    at = np.minimum(np.searchsorted(names, stated), len(names) - 1)
    return np.where(names[at] == stated, merged[shared][first][at], stated)


def _number(codes: Ints) -> Ints:
    """(rows,) the codes as numbers from 0; a row without a code is a group of its own."""
    return np.unique(np.where(codes >= 0, codes, -1 - np.arange(len(codes))), return_inverse=True)[1]


def _arrange_by_position(groups: Ints, at: Ints, count: int) -> Ints:
    """(count,) the groups in the order of a log's rows."""
    ordered = np.empty(count, np.int64)
    ordered[at[at >= 0]] = groups[at >= 0]
    return ordered
