"""Splits: train fits weights, calibration feeds quantization, selection chooses, gate only judges.

Two more exist only if a suite asks for them. unlabelled holds rows for a teacher to label, without their own
label. confirm holds rows that nothing reads until a run with --slimgate-confirm. A split that the source
names is drawn from the part of that name; the others are cut from the part train, or from all. No group and
no text is in two splits, whatever its case, its punctuation and the order of a pair. Only a part that the
source calls unlabelled may share groups with train, because both are for training.

This module distributes the rows of a pool among the splits that are drawn from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from slimgate.data.arrow import iterate_value_lists, select_table_rows
from slimgate.data.parts import Pool, SplitColumns, make_pools, withhold_rows
from slimgate.data.same_texts import join_groups
from slimgate.data.strata import RequestedSize, assign_rows, compute_label_shares, mark_sharing_rows
from slimgate.errors import DataError, format_suggestion
from slimgate.outcomes import Ints
from slimgate.plugins.params import Table
from slimgate.plugins.rows import CONFIRM, SPLIT_ORDER, SPLITS, UNLABELLED

SCHEMA = "slimgate.splits/1"
FILE = "splits.json"


@dataclass(frozen=True)
class DroppedCounts:
    """Rows of a part that are in no split, because a later split or part has their text or their group.

    near: the rows of `overlap` whose text occurs there only in other case, punctuation or order.
    """

    overlap: int
    near: int
    group: int


NOTHING_DROPPED = DroppedCounts(0, 0, 0)


def count_dropped(pool: Pool, drawn: Mapping[str, Ints]) -> DroppedCounts:
    """Counts the dropped rows of a part. drawn: the rows of each of its splits, in SPLIT_ORDER."""
    later = np.concatenate([np.empty(0, np.int64), *list(drawn.values())[1:]])
    undrawn = np.ones(len(pool), dtype=np.bool_)
    undrawn[np.concatenate(list(drawn.values()))] = False
    within = undrawn & pool.free & mark_sharing_rows(pool.texts, later)
    near = within & ~mark_sharing_rows(pool.exact_texts, later)
    return DroppedCounts(
        overlap=int(pool.dropped_by_text.sum() + within.sum()),
        near=int(pool.dropped_by_near_text.sum() + near.sum()),
        group=int(pool.dropped_by_group.sum()),
    )


def _make_size_validator(least: int) -> BeforeValidator:
    def check(value: object) -> Any:
        if value is None or value == "rest" or (type(value) is int and value >= least):
            return value
        raise PydanticCustomError(
            "size", 'expected a whole number of rows, at least {least}, or "rest"', {"least": least}
        )

    return BeforeValidator(check)


Size = Annotated[RequestedSize | None, _make_size_validator(1)]
SizeOrZero = Annotated[RequestedSize | None, _make_size_validator(0)]


class SplitSizes(Table):
    """Rows of each split; "rest" is what the other splits of the same part leave.

    If a size is left out, a split that the source names has all its rows. The other splits are cut from a
    part: train gets the rest, gate 40 %, calibration 5 % but at most 512, selection 10 % but at most 1000.
    These shares are of the part's rows that are in no later part. Without a size there is no split
    unlabelled, and no split confirm unless the source names it.
    """

    unlabelled: Size = None
    """Number of rows whose labels no step may read; default: none."""
    train: Size = None
    """Number of rows for training; default: "rest"."""
    calibration: SizeOrZero = None
    """Number of rows for quantization and pruning; default: 5 %, but at most 512 rows."""
    selection: SizeOrZero = None
    """Number of rows for choices, such as the best epoch; default: 10 %, but at most 1000 rows."""
    gate: Size = None
    """Number of rows that are used for verdicts only; default: 40 %, or all of a gate part that the source
    names."""
    confirm: Size = None
    """Number of rows that only --slimgate-confirm reads, to judge the variants that passed on the gate once
    more; default: none, or all of a confirm part that the source names."""

    def find_size(self, split: str) -> RequestedSize | None:
        """The size of a split as it is stated."""
        size: RequestedSize | None = getattr(self, split)
        return size


@dataclass(frozen=True)
class SplitReport:
    """The content of a split, and what was left out for it.

    part: the part that it was drawn from; None for an empty split that was drawn from none.
    n: its number of rows.
    digest: sha256 over id, text, label, group and the task's other columns, in order.
    dropped_overlap, dropped_group: rows of that part that are in no split because a later split or part has
        their text, or their group; counted once for each part, at its earliest split.
    near_repeats: rows of dropped_overlap whose text occurs there only in other case, punctuation or order.
    repeats: rows whose text occurs earlier in the split.
    label_deviation_points: the largest distance of a label's share from its share in the part, in percentage
        points; None if the rows have no label.
    groups: the number of groups. Rows with the same group or text are in one group. None without a group
        column if no text repeats.
    """

    part: str | None
    n: int
    digest: str
    dropped_overlap: int
    dropped_group: int
    repeats: int
    label_counts: dict[str, int]
    label_deviation_points: float | None
    groups: int | None
    near_repeats: int = 0


EMPTY_SPLIT = SplitReport(
    part=None,
    n=0,
    digest=hashlib.sha256().hexdigest(),
    dropped_overlap=0,
    dropped_group=0,
    repeats=0,
    label_counts={},
    label_deviation_points=0.0,
    groups=None,
)


@dataclass(frozen=True)
class Cut:
    """Tables in the order train, calibration, selection, gate: a column `id`, then the source's columns.

    unlabelled, if it exists, comes first, and has no label; confirm comes before gate.
    """

    splits: dict[str, pa.Table]
    reports: dict[str, SplitReport]


def cut_splits(
    parts: Mapping[str, pa.Table],
    sizes: SplitSizes,
    columns: SplitColumns,
    *,
    seed: int,
) -> Cut:
    """Draws the splits: groups first, then rows to the stated sizes, labels in the shares of their part.

    Rows are in random order. Each split has a separate order for the rows of its part, so another size of one
    split leaves most rows of the others in place. Raises DataError for unlabelled or empty rows, for ids that
    are not unique, and if there are fewer rows than the sizes need.
    """
    pools = make_pools(parts, columns)
    _check_columns(pools, columns.read)
    grouped = columns.group is not None
    splits: dict[str, pa.Table] = {}
    reports: dict[str, SplitReport] = {}
    for pool, drawn in _draw_parts(pools, _make_plans(pools, sizes), seed, grouped=grouped):
        dropped = count_dropped(pool, drawn)
        for split, rows in drawn.items():
            label = None if split == UNLABELLED else columns.label
            splits[split] = select_table_rows(pool.table, rows)
            if split == UNLABELLED:
                splits[split] = _drop_labels(splits[split], columns)
            optional = [name for name in (label, columns.group) if name]
            digested = list(dict.fromkeys(["id", *columns.texts, *optional, *columns.read]))
            reports[split] = _make_split_report(
                pool,
                rows,
                digest=_digest_columns(splits[split], digested),
                dropped=dropped,
                labelled=label is not None,
                grouped=grouped,
            )
            dropped = NOTHING_DROPPED  # they count once for each part, at its first split
    for split in SPLITS:
        if split not in splits:
            splits[split], reports[split] = pools[-1].table.slice(0, 0), EMPTY_SPLIT
    drawn_splits = [name for name in SPLIT_ORDER if name in splits]
    return Cut({name: splits[name] for name in drawn_splits}, {name: reports[name] for name in drawn_splits})


def _draw_parts(
    pools: Sequence[Pool], plans: Mapping[str, Mapping[str, RequestedSize]], seed: int, *, grouped: bool
) -> list[tuple[Pool, dict[str, Ints]]]:
    """Each part that splits are drawn from, with the rows of each of its splits."""
    drawn_parts: list[tuple[Pool, dict[str, Ints]]] = []
    # The part unlabelled comes last, because it gives way to all others.
    for pool in sorted(pools, key=lambda pool: pool.name == UNLABELLED):
        if pool.name == UNLABELLED:
            _withhold_drawn_rows(pool, drawn_parts)
        if plans[pool.name]:
            drawn_parts.append((pool, assign_rows(pool, plans[pool.name], seed, grouped=grouped)))
    return drawn_parts


def _withhold_drawn_rows(pool: Pool, drawn_parts: Sequence[tuple[Pool, Mapping[str, Ints]]]) -> None:
    """Withholds rows whose text was drawn from another part, or whose group was, except for training.

    drawn_parts: the other parts, each with the rows of its splits.
    """
    nothing = np.empty(0, np.int64)
    drawn = [(other, split, rows) for other, splits in drawn_parts for split, rows in splits.items()]
    training_splits = (UNLABELLED, "train")
    withhold_rows(
        pool,
        texts=np.concatenate([nothing, *(other.texts[rows] for other, _, rows in drawn)]),
        exact_texts=np.concatenate([nothing, *(other.exact_texts[rows] for other, _, rows in drawn)]),
        groups=np.concatenate(
            [nothing, *(other.groups[rows] for other, split, rows in drawn if split not in training_splits)]
        ),
    )


def _drop_labels(table: pa.Table, columns: SplitColumns) -> pa.Table:
    """The table without the label, and without the task's other columns except texts: scores, tags."""
    secret = {columns.label, *columns.read} - {"id", *columns.texts}
    return table.drop_columns([name for name in table.column_names if name in secret])


def _check_columns(pools: list[Pool], columns: Sequence[str]) -> None:
    for pool in pools:
        known = pool.table.column_names
        for column in columns if pool.name != UNLABELLED else ():
            if column not in known:
                raise DataError(f"part {pool.name} has no column {column}{format_suggestion(column, known)}")


def write_splits(cut: Cut, folder: Path) -> None:
    """Writes a parquet file for each split, and their reports as splits.json."""
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    for name, table in cut.splits.items():
        pq.write_table(table, folder / f"{name}.parquet")
    content = {"schema": SCHEMA, "splits": {name: asdict(report) for name, report in cut.reports.items()}}
    (folder / FILE).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_splits(folder: Path) -> Cut:
    """Reads what `write_splits` wrote, memory-mapped. Raises DataError if it is incomplete."""
    import pyarrow.parquet as pq

    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise DataError(f"{folder / FILE} has schema {content['schema']}, expected {SCHEMA}")
        drawn_splits = [name for name in SPLIT_ORDER if name in content["splits"] or name in SPLITS]
        reports = {name: SplitReport(**content["splits"][name]) for name in drawn_splits}
        splits = {name: pq.read_table(folder / f"{name}.parquet", memory_map=True) for name in drawn_splits}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{folder} has incomplete splits ({type(error).__name__}: {error}); cut them again"
        ) from error
    return Cut(splits, reports)


def _make_plans(pools: list[Pool], sizes: SplitSizes) -> dict[str, dict[str, RequestedSize]]:
    """For each part, the splits that are drawn from it and their sizes."""
    plans: dict[str, dict[str, RequestedSize]] = {pool.name: {} for pool in pools}
    common = next((name for name in ("all", "train") if name in plans), None)
    for split in SPLIT_ORDER:
        stated = sizes.find_size(split)
        if stated is None and (split == UNLABELLED or (split == CONFIRM and split not in plans)):
            continue
        origin = split if split in plans else common
        if origin is None:
            if stated or split == "gate":
                raise DataError(
                    f"the source has only part {', '.join(plans)}, expected part {split}, train or all to "
                    f"draw {split} from" + (f" (splits.{split} = {stated})" if stated else "")
                )
            continue
        free = int(next(pool for pool in pools if pool.name == origin).free.sum())
        plans[origin][split] = (
            _choose_default_size(split, named=origin == split, free=free) if stated is None else stated
        )
    for origin, plan in plans.items():
        resting = [split for split, size in plan.items() if size == "rest"]
        if len(resting) > 1:
            raise DataError(
                f"splits: {' and '.join(resting)} both take the rest of part {origin} (the default for "
                "train); give a number of rows to all but one of them"
            )
    return plans


def _choose_default_size(split: str, *, named: bool, free: int) -> RequestedSize:
    if named or split == "train":
        return "rest"
    return {
        "calibration": min(512, free // 20),
        "selection": min(1000, free // 10),
        "gate": max(1, free * 2 // 5),
    }[split]


def _make_split_report(
    pool: Pool, rows: Ints, *, digest: str, dropped: DroppedCounts, labelled: bool, grouped: bool
) -> SplitReport:
    counts = np.bincount(pool.labels[rows], minlength=len(pool.label_names))
    share, expected = counts / max(1, len(rows)), compute_label_shares(pool.labels)
    deviation = np.abs(share[: len(expected)] - expected).max(initial=0.0) * 100 if len(rows) else 0.0
    named = labelled and pool.label_names != ("",)
    groups = join_groups(pool.groups[rows] if grouped else None, pool.texts[rows])
    return SplitReport(
        part=pool.name,
        n=len(rows),
        digest=digest,
        dropped_overlap=dropped.overlap,
        dropped_group=dropped.group,
        repeats=len(rows) - len(np.unique(pool.texts[rows])),
        label_counts=dict(zip(pool.label_names, counts.tolist(), strict=True)) if named else {},
        label_deviation_points=round(float(deviation), 6) if named else None,
        groups=None if groups is None else len(np.unique(groups)),
        near_repeats=dropped.near,
    )


def _digest_columns(table: pa.Table, columns: list[str]) -> str:
    """The digest of the table's columns, whatever their chunks and names: JSON lists of the values."""
    total = hashlib.sha256()
    known = [name for name in columns if name in table.column_names]
    for column in table.select(known).columns:
        total.update(b"[")
        for number, values in enumerate(iterate_value_lists(column)):
            text = json.dumps(values, ensure_ascii=False, default=str)
            total.update((", " * (number > 0) + text[1:-1]).encode())
        total.update(b"]")
    return total.hexdigest()
