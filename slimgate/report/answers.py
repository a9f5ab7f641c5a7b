"""Answers of several models on one row, side by side: the columns of a table in the report or a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from slimgate.record import AnswerFacts
from slimgate.report.figures import MISSING, fixed, measured, with_note
from slimgate.report.tables import Column, without_empty

_TURNED = {(True, False): "right to wrong", (False, True): "wrong to right"}
Show = Callable[[str], str]


def answer_columns(answers: Sequence[AnswerFacts], show: Show) -> list[Column]:
    """The first answer is the teacher's; the others have what differs from it. Empty columns are left out.

    show: makes text from data harmless where the table goes.
    """
    teacher = answers[0]
    values = dict.fromkeys(name for one in answers for name in one.values)
    columns = [
        Column("model", [show(one.model) for one in answers]),
        Column("answer", [MISSING if one.prediction is None else show(one.prediction) for one in answers]),
        Column("right", [_right(one) for one in answers]),
        Column("p of the label", [fixed(one.label_probability, 3) for one in answers], right=True),
        Column("most probable", [top_words(one.top, show) for one in answers]),
        *(Column(show(name), [_value(one, teacher, name) for one in answers], right=True) for name in values),
        Column("against the teacher", [_against(one, teacher) for one in answers]),
    ]
    return without_empty(columns)


def top_words(top: Sequence[tuple[str, float]], show: Show) -> str:
    """`numpy 0.930, torch 0.041`."""
    return ", ".join(f"{show(name)} {fixed(share, 3)}" for name, share in top) or MISSING


def _right(one: AnswerFacts) -> str:
    return MISSING if one.right is None else "yes" if one.right else "no"


def _value(one: AnswerFacts, teacher: AnswerFacts, name: str) -> str:
    """`4.21 (+0.35)`, of the teacher without the difference."""
    value, reference = one.values.get(name), teacher.values.get(name)
    shown = measured(value)
    if one is teacher or value is None or reference is None:
        return shown
    difference = value - reference
    return with_note(shown, f"{'-' if difference < 0 else '+'}{measured(abs(difference), 3)}")


def _against(one: AnswerFacts, teacher: AnswerFacts) -> str:
    """`right to wrong, p -0.412`; the teacher is against nobody."""
    if one is teacher:
        return MISSING
    told = []
    if one.right is not None and teacher.right is not None and one.right != teacher.right:
        told.append(_TURNED[teacher.right, one.right])
    elif one.prediction != teacher.prediction:
        told.append("another answer")
    elif one.prediction is not None:
        told.append("the same answer")
    if one.label_probability is not None and teacher.label_probability is not None:
        told.append(f"p {one.label_probability - teacher.label_probability:+.3f}")
    return ", ".join(told) or MISSING
