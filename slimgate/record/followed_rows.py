"""Single rows: what each model answered on them, and through which shapes one of them went."""

from __future__ import annotations

from slimgate.judge.parts import Part


class AnswerFacts(Part):
    """One model's answer on one row.

    prediction: the class, or what the model said in words; right: None where an answer is neither right nor
    wrong; top: the most probable classes with their probabilities; values: what else the task measures of a
    row (nats, a rank).
    """

    model: str
    prediction: str | None = None
    right: bool | None = None
    label_probability: float | None = None
    top: list[tuple[str, float]] = []
    values: dict[str, float] = {}


class FollowedRow(Part):
    """A gate row with the answers of the teacher and every variant. why: how it was chosen.

    number: its place in the gate, from 0. given: numbers of the row, the same for all models.
    """

    id: str
    number: int
    why: str
    label: str | None = None
    text: str | None = None
    given: dict[str, float] = {}
    answers: list[AnswerFacts]


class TensorFacts(Part):
    """What a part of the network gave: shape, type of its numbers; weights: types of its stored weights."""

    shape: list[int]
    dtype: str
    weights: str | None = None


class RowShapes(Part):
    """The way of one gate row through a network; what is not known is None, and `note` says why.

    next_tokens: of a language model, the most probable tokens after the row's last one.
    """

    id: str
    inputs: dict[str, list[int]] = {}
    embeddings: TensorFacts | None = None
    blocks: list[TensorFacts] = []
    logits: TensorFacts | None = None
    next_tokens: list[tuple[str, float]] = []
    note: str | None = None
