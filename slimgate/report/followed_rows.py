"""A few gate rows through every model: answers side by side, and the shapes of one row in the network.

The answers of several models on one row are columns of a table in the report or a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from slimgate._system.escape import escape
from slimgate._system.number_text import MISSING, format_fixed, format_int, format_number
from slimgate.record.run import AnswerFacts, FollowedRow, RowShapes, RunRecord, TensorFacts, VariantRecord
from slimgate.report.figures import add_note
from slimgate.report.status import list_models
from slimgate.report.tables import Column, add_heading, blocks, make_pipe_table, remove_empty_columns

# All models are in run.json; side by side, more are not read.
_MOST_MODELS = 16
_LONGEST = 60
_RIGHT = {None: MISSING, True: "yes", False: "no"}
_TURNED = {(True, False): "right to wrong", (False, True): "wrong to right"}
Show = Callable[[str], str]


def format_followed_rows(record: RunRecord) -> str:
    """The section; empty if no row was followed."""
    return add_heading(
        "## Rows followed", blocks(*map(_format_followed_row, record.followed), _format_shapes(record))
    )


def _format_followed_row(row: FollowedRow) -> str:
    label = "" if row.label is None else f", label {escape(row.label, longest=_LONGEST)}"
    scores = "".join(f", {escape(name)} {format_number(value)}" for name, value in row.given.items())
    text = "" if row.text is None else f"Text: {escape(row.text)}"
    shown = row.answers[:_MOST_MODELS]
    left_out = len(row.answers) - len(shown)
    further = f"{format_int(left_out)} further models are in run.json." if left_out else ""
    heading = f"**{escape(row.id)}**{label}{scores}: {escape(row.why)}."
    return blocks(heading, text, make_pipe_table(make_answer_columns(shown, _escape_short)), further)


def _escape_short(text: str) -> str:
    return escape(text, longest=_LONGEST)


def _format_shapes(record: RunRecord) -> str:
    shaped = [(model, model.shapes) for model in list_models(record) if model.shapes is not None]
    if not shaped:
        return ""
    row = escape(shaped[0][1].id)
    note = (
        f"{row} on its way through each network: shapes and types of what parts give, and of stored weights."
    )
    columns = [
        Column("model", [escape(model.name) for model, _ in shaped]),
        Column("inputs", [_format_inputs(shapes) for _, shapes in shaped]),
        Column("token embeddings", [_format_tensors([shapes.embeddings]) for _, shapes in shaped]),
        Column("blocks", [_format_tensors(shapes.blocks) for _, shapes in shaped]),
        Column("logits", [_format_tensors([shapes.logits]) for _, shapes in shaped]),
        Column("probabilities", [_make_probabilities_table(record, *pair) for pair in shaped]),
        Column("note", [MISSING if shapes.note is None else escape(shapes.note) for _, shapes in shaped]),
    ]
    return add_heading("### Shapes of one row", blocks(note, make_pipe_table(remove_empty_columns(columns))))


def _format_inputs(shapes: RowShapes) -> str:
    """The inputs of one shape together: `input_ids, attention_mask (1, 23)`."""
    by_shape: dict[str, list[str]] = {}
    for name, shape in shapes.inputs.items():
        by_shape.setdefault(_shape(shape), []).append(escape(name))
    return "; ".join(f"{', '.join(sorted(names))} {shape}" for shape, names in by_shape.items()) or MISSING


def _format_tensors(tensors: Sequence[TensorFacts | None]) -> str:
    """Equal tensors in sequence are counted: `6 × (1, 23, 384) float32, weights int8`."""
    runs = [(words, len(list(run))) for words, run in groupby(map(_format_tensor, tensors))]
    return "; ".join(f"{repeats} × {words}" if repeats > 1 else words for words, repeats in runs) or MISSING


def _format_tensor(facts: TensorFacts | None) -> str:
    if facts is None:
        return MISSING
    weights = "" if facts.weights is None else f", weights {escape(facts.weights)}"
    return f"{_shape(facts.shape)} {escape(facts.dtype)}{weights}"


def _shape(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))})"


def _make_probabilities_table(record: RunRecord, model: VariantRecord, shapes: RowShapes) -> str:
    """The probabilities of the next token, or of the classes as the row's answer has them."""
    if shapes.next_tokens:
        return format_top_words(shapes.next_tokens, _escape_short)
    rows = [row for row in record.followed if row.id == shapes.id]
    tops = [answer.top for row in rows for answer in row.answers if answer.model == model.name]
    return format_top_words(tops[0], _escape_short) if tops else MISSING


def make_answer_columns(
    answers: Sequence[AnswerFacts], show: Show, original: str = "teacher"
) -> list[Column]:
    """The first answer is the teacher's; the others have what differs from it. Empty columns are left out.

    show: escapes text for the place of the table. original: the teacher's name in the table.
    """
    teacher = answers[0]
    values = dict.fromkeys(name for answer in answers for name in answer.values)
    columns = [
        Column("model", [original, *(show(answer.model) for answer in answers[1:])]),
        Column(
            "answer",
            [MISSING if answer.prediction is None else show(answer.prediction) for answer in answers],
        ),
        Column("right", [_RIGHT[answer.right] for answer in answers]),
        Column(
            "p of the label", [format_fixed(answer.label_probability, 3) for answer in answers], right=True
        ),
        Column("most probable", [format_top_words(answer.top, show) for answer in answers]),
        *(
            Column(show(name), [_format_score(answer, teacher, name) for answer in answers], right=True)
            for name in values
        ),
        Column(f"against the {original}", [_format_against_teacher(answer, teacher) for answer in answers]),
    ]
    return remove_empty_columns(columns)


def format_top_words(top: Sequence[tuple[str, float]], show: Show) -> str:
    """A text such as `numpy 0.930, torch 0.041`."""
    return ", ".join(f"{show(name)} {format_fixed(share, 3)}" for name, share in top) or MISSING


def _format_score(answer: AnswerFacts, teacher: AnswerFacts, name: str) -> str:
    """`4.21 (+0.35)`; for the teacher without the difference."""
    value, reference = answer.values.get(name), teacher.values.get(name)
    shown = format_number(value)
    if answer is teacher or value is None or reference is None:
        return shown
    difference = value - reference
    return add_note(shown, f"{'-' if difference < 0 else '+'}{format_number(abs(difference), 3)}")


def _format_against_teacher(answer: AnswerFacts, teacher: AnswerFacts) -> str:
    """`right to wrong, p -0.412`; empty for the teacher."""
    if answer is teacher:
        return MISSING
    clauses = []
    if answer.right is not None and teacher.right is not None and answer.right != teacher.right:
        clauses.append(_TURNED[teacher.right, answer.right])
    elif answer.prediction != teacher.prediction:
        clauses.append("another answer")
    elif answer.prediction is not None:
        clauses.append("the same answer")
    if answer.label_probability is not None and teacher.label_probability is not None:
        clauses.append(f"p {answer.label_probability - teacher.label_probability:+z.3f}")
    return ", ".join(clauses) or MISSING
