"""Lists what a suite demands, for its record: every key of the suite except those in NO_DEMAND."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgate._system.digests import digest_folder, digest_user_code, file_sha256
from slimgate.plugins.rows import CONFIRM, GATE
from slimgate.record.comparing.demands import CODE
from slimgate.record.task import DemandedBudget, DemandedRows, Demands
from slimgate.run.rows import PreparedRows
from slimgate.store.store import list_files
from slimgate.suite.suite import Suite, Variant, dump_params
from slimgate.suite.tables import SuiteTable, TeacherTable, VariantTable

if TYPE_CHECKING:
    from pydantic import BaseModel

# Keys of a suite that demand nothing by themselves, and why. A test compares every key with this list.
NO_DEMAND: Mapping[str, str] = {
    "suite.title": "it is a heading",
    "suite.seed": "suite.seeds has it",
    "suite.extends": "the tables of all files count as one",
    "suite.reference": "published figures are shown, and judge nothing",
    "task.source": "the digests of the rows count",
    "task.splits": "the digests of the rows count",
    "measure.batch_size": "it is how answers are computed, which are the same up to rounding",
    "measure.batch_tokens": "it is how answers are computed, which are the same up to rounding",
    "measure.memory": "memory is measured in any case where it has a budget",
    "measure.on_inconclusive": "each budget has it",
    "tune": "a search proposes variants, and judges none",
    "budgets.baseline.file": "the gate is compared with it",
    "budgets.baseline.reason": "it is why less is demanded",
    **{f"variants.{name}": "it is what is judged" for name in VariantTable.model_fields if name != "gated"},
}
_NAMED_CODE = re.compile(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*")


def make_demands(suite: Suite, rows: PreparedRows | None = None) -> Demands:
    """The demands of a suite. rows: its splits, if they are cut already."""
    names = suite.models
    off = {name: suite.find_budgets(name).switched_off for name in names}
    return Demands(
        budgets=[budget for name in names for budget in _list_budgets(suite, name)],
        gated={name: variant.gated for name, variant in suite.variants.items()},
        switched_off={name: list(budgets) for name, budgets in off.items() if budgets},
        settings=list_settings(suite),
        rows={} if rows is None else _describe_rows(suite, rows),
        reason=suite.weaker_reason,
    )


def _list_budgets(suite: Suite, name: str) -> Iterator[DemandedBudget]:
    """The budgets of a model."""
    limits = suite.find_budgets(name).list_limits(suite.measure.on_inconclusive)
    for (budget, kind), limit in limits.items():
        yield DemandedBudget(
            variant=name,
            budget=budget,
            kind=kind,
            limit=limit.limit,
            on_inconclusive=limit.on_inconclusive,
            options=dict(limit.options),
            reason=limit.reason,
        )


def _describe_rows(suite: Suite, rows: PreparedRows) -> dict[str, DemandedRows]:
    """The rows of the splits that judge, and of those that the teacher is trained on."""
    trained_on = [split for step in suite.teacher.steps for split in step.reads]
    return {
        name: DemandedRows(n=rows.reports[name].n, digest=rows.reports[name].digest)
        for name in dict.fromkeys([GATE, CONFIRM, *trained_on])
        if name in rows.reports
    }


def list_settings(suite: Suite) -> dict[str, Any]:
    """Every setting that says how the gate judges, by its dotted key, as JSON."""
    tables = suite.tables
    task, base = suite.setup.task, suite.path.parent
    figures = sorted({figure for budgets in suite.budgets.values() for figure in budgets.measurements})
    values = {
        "suite.seeds": list(suite.seeds),
        **_list_fields("suite", tables.suite, SuiteTable),
        "task.kind": task.name,
        "task.group": suite.setup.group,
        "task.slices": list(suite.setup.slices),
        **{f"task.{key}": value for key, value in dump_params(task.params).items()},
        **_list_fields("teacher", tables.teacher, TeacherTable),
        "teacher.files": _digest_model_files(suite.teacher),
        **_list_fields("measure", suite.measure, type(suite.measure)),
        "measure.metrics": list(suite.metrics),
        "measure.workloads": [workload.id for workload in suite.workloads],
        "budgets.family": suite.family,
    }
    portable = {key: _make_portable(value, base) for key, value in values.items() if key not in NO_DEMAND}
    # Settings name the user's modules as package.module:object.
    named = (*portable.values(), figures)
    names = dict.fromkeys(name for value in named for name in _find_code_names(value))
    return {**portable, **{f"{CODE}{name}": digest_user_code(name.partition(":")[0]) for name in names}}


def _list_fields(table: str, values: BaseModel, declared_by: type[BaseModel]) -> dict[str, Any]:
    """Each field of a table by its dotted key, without `seeds`, which the caller adds as resolved."""
    dumped = values.model_dump(mode="json")
    return {f"{table}.{name}": dumped[name] for name in declared_by.model_fields if name != "seeds"}


def _make_portable(value: object, base: Path) -> Any:
    """The value with each path replaced by a relative path and a digest, so that it is the same elsewhere."""
    if isinstance(value, Mapping):
        return {key: _make_portable(item, base) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_make_portable(item, base) for item in value]
    if not isinstance(value, str) or not os.path.isabs(value) or not Path(value).exists():
        return value
    path = Path(value)
    digest = file_sha256(path) if path.is_file() else digest_folder(path, map(str, list_files(path)))
    return {"path": Path(os.path.relpath(path, base)).as_posix(), "digest": digest[:32]}


def _digest_model_files(teacher: Variant) -> str | None:
    """The digest of the teacher's local files, without files that no model reads; None if it has none."""
    path = teacher.ref.folder if teacher.ref else None
    if path is None:
        return None
    names = (path.name,) if path.is_file() else tuple(filter(_is_model_file, list_files(path)))
    folder = path.parent if path.is_file() else path
    stats = [(folder / name).stat() for name in names]
    return _digest_files(folder, names, tuple((stat.st_size, stat.st_mtime_ns) for stat in stats))


def _is_model_file(name: str) -> bool:
    """Whether a file may change a model's answers: every file except Markdown and hidden files."""
    return not name.endswith(".md") and not any(part.startswith(".") for part in name.split("/"))


@cache
def _digest_files(folder: Path, names: tuple[str, ...], stamps: tuple[tuple[int, int], ...]) -> str:  # noqa: ARG001
    """Caches the digest, because weights are large. stamps: size and time of each file."""
    return digest_folder(folder, names)


def _find_code_names(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):  # a step is named by its key
        yield from (name for item in (*value, *value.values()) for name in _find_code_names(item))
    elif isinstance(value, list | tuple):
        yield from (name for item in value for name in _find_code_names(item))
    elif isinstance(value, str) and _NAMED_CODE.fullmatch(value) and not value.startswith("hub:"):
        yield value
