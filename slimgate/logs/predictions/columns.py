"""The columns of a prediction file for id, label, prediction, group, text and probabilities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from slimgate.data.guess_input import PAIRS
from slimgate.errors import DataError, format_suggestion

if TYPE_CHECKING:
    import pyarrow as pa

    from slimgate.outcomes import Ints

Role = Literal["id", "label", "prediction", "group"]
ROLES: tuple[Role, ...] = get_args(Role)
PREFIXES = ("prob_", "p_")
NESTED = "probabilities"
# The column that has the document of a row, or the two columns, if there is no column document or prompt.
# Rows of one document are not independent.
QUESTIONS = (*((name,) for name in ("question", "input", "query", "text")), *PAIRS)
_TEXTS = (("document",), ("prompt",), *QUESTIONS)
# Names of columns of weights, which are not used.
_WEIGHTS = ("weight", "weights", "sample_weight")


def note_unused_weights(shown: str, columns: Sequence[str]) -> list[str]:
    """A line if a file has a column of weights: a weighted mean may drop when the judged mean does not."""
    return [
        f'{shown}: the column "{name}" is not used, so all rows have the same weight'
        for name in _WEIGHTS
        if name in columns
    ]


@dataclass(frozen=True)
class ColumnNames:
    """The column of each role, for both files. by_user: the roles whose column was named."""

    id: str = "id"
    label: str = "label"
    prediction: str = "prediction"
    group: str = "group"
    by_user: frozenset[str] = frozenset()

    def find_column(self, role: str) -> str:
        """The column of a role."""
        return str(getattr(self, role))


@dataclass(frozen=True)
class Layout:
    """Which columns of a file are read. roles: role -> column. probabilities: class -> column.

    nested: the column that holds a list or a mapping of all probabilities, instead of a column per class.
    texts: the column of the rows' texts, or the two columns of pairs, if the file has no groups.
    """

    roles: Mapping[str, str]
    probabilities: Mapping[str, str] = field(default_factory=dict)
    nested: str | None = None
    texts: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """The columns to read; the others are ignored."""
        further = [*([] if self.nested is None else [self.nested]), *self.texts]
        return list(dict.fromkeys([*self.roles.values(), *self.probabilities.values(), *further]))


class StatedClasses(NamedTuple):
    """What slimgate states in the metadata of its own outcomes. classes: the labels, then the strays."""

    classes: tuple[str, ...]
    label_set: tuple[str, ...]
    positive: str | None


class FileColumns(NamedTuple):
    """The columns of a file, in blocks of rows.

    names: of all its columns. texts: role -> Arrow text or codes. probabilities: class -> float64. digests:
    of the rows' texts; empty if they are not read. stated: None for another tool's file.
    """

    names: list[str]
    texts: dict[str, list[pa.Array]]
    probabilities: dict[str, list[pa.Array]]
    digests: list[Ints]
    stated: StatedClasses | None = None


def find_columns(shown: str, columns: Sequence[str], names: ColumnNames) -> Layout:
    """The layout of a file with these columns. shown: the file, as messages name it.

    Raises DataError if a column is missing, with the nearest name, or if two columns may be meant.
    """
    roles: dict[str, str] = {
        role: names.find_column(role) for role in ROLES if names.find_column(role) in columns
    }
    if shared := sorted(column for column, count in Counter(roles.values()).items() if count > 1):
        meant = " and ".join(role for role in roles if roles[role] == shared[0])
        raise DataError(f'{shown}: column "{shared[0]}" is meant as {meant}; name a separate column for each')
    if repeated := [column for column in roles.values() if columns.count(column) > 1]:
        raise DataError(f'{shown}: column "{repeated[0]}" occurs twice, expected it once')
    rest = [column for column in columns if column not in roles.values()]
    nested = NESTED if NESTED in rest else None
    by_class = {} if nested else _find_class_columns(shown, rest)
    for role in ("id", "label", "prediction"):
        is_needed = role != "prediction" or not (nested or by_class) or role in names.by_user
        if role not in roles and is_needed:
            raise DataError(_describe_missing(shown, role, names, rest))
    plain_columns = set(rest) - {*by_class.values(), nested}
    texts = next((texts for texts in _TEXTS if plain_columns.issuperset(texts)), ())
    return Layout(roles, by_class, nested, () if "group" in roles else texts)


def _find_class_columns(shown: str, columns: Sequence[str]) -> dict[str, str]:
    """class -> column, for columns such as p_0 or prob_pos."""
    by_prefix = {prefix: [c for c in columns if c.startswith(prefix) and c != prefix] for prefix in PREFIXES}
    if all(by_prefix.values()):
        first, other = (by_prefix[prefix][0] for prefix in PREFIXES)
        raise DataError(
            f'{shown}: columns "{first}" and "{other}": probabilities begin either all with '
            "prob_ or all with p_; rename or drop the others"
        )
    return {column.removeprefix(prefix): column for prefix in PREFIXES for column in by_prefix[prefix]}


def _describe_missing(shown: str, role: str, names: ColumnNames, columns: Sequence[str]) -> str:
    column_name = names.find_column(role)
    or_else = " and no probabilities (p_<class>, prob_<class> or probabilities)"
    # there may be hundreds of probabilities, and the user does not look for one of them
    hint = format_suggestion(column_name, [column for column in columns if not column.startswith(PREFIXES)])
    also = ", or add a column of row numbers, equal in both files" if role == "id" else ""
    return (
        f'{shown}: no column "{column_name}"{or_else if role == "prediction" else ""}{hint}'
        f"{'' if hint.endswith('?') else ';'} rename it, or say --{role} COLUMN to slimgate judge{also}"
    )


def require_group(
    names: ColumnNames, files: Sequence[str], columns: Sequence[str], *, has_groups: bool
) -> None:
    """Raises DataError if --group names a column that neither file has. columns: of both files."""
    if "group" in names.by_user and not has_groups:
        hint = format_suggestion(names.group, columns)
        raise DataError(f'{" and ".join(files)}: neither has a column "{names.group}"{hint}')
