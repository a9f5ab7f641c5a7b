"""The table `cascade` of a variant."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from slimgate.plugins.params import Table

# A cascade's threshold that is chosen on the selection rows.
FROM_SELECTION = "selection"
Probability = Annotated[float, Field(gt=0, le=1)]


def _check_threshold(value: object) -> Any:
    """Gives a bad threshold one error, instead of one error for each form that it may have."""
    several = value if isinstance(value, list | tuple) and value else [value]
    if value != FROM_SELECTION and not all(_is_probability(probability) for probability in several):
        message = '{actual} was given, expected "selection", a probability such as 0.9, or a list of them'
        raise PydanticCustomError("threshold", message, {"actual": repr(value)})
    return value


def _is_probability(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1


Threshold = Annotated[
    Literal["selection"] | Probability | tuple[Probability, ...], BeforeValidator(_check_threshold)
]


class CascadeTable(Table):
    """`cascade` of a variant: a model answers the rows that it is sure of. The next model gets the rest."""

    models: tuple[str, ...]
    """Names of variants of this suite, the cheapest first; the last one may be teacher."""
    threshold: Threshold = "selection"
    """A model's answer is final if its highest probability reaches this threshold. Give one threshold
    for all models, or a list with one for each model except the last. With "selection", slimgate chooses them
    on the selection rows."""
    drop_points: float = Field(default=0.5, ge=0, le=100)
    """With threshold = "selection": percentage points of accuracy that may be lost on the selection rows. A
    cascade is compared with its last model, an ensemble with the mean of all its models."""
    ensemble: bool = False
    """Average the scores of all models that a row reached, instead of using only the scores of the last
    model. The weights of the average are chosen on the selection rows."""

    @model_validator(mode="after")
    def _check_models(self) -> Self:
        if len(self.models) < 2 or len(set(self.models)) < len(self.models):
            raise ValueError(f"models = {list(self.models)} was given, expected two or more different models")
        if self.threshold == FROM_SELECTION:
            return self
        if "drop_points" in self.model_fields_set:
            raise ValueError('drop_points is only for threshold = "selection"; the threshold is given here')
        if isinstance(self.threshold, tuple) and len(self.threshold) != len(self.models) - 1:
            raise ValueError(
                f"{len(self.threshold)} thresholds were given, expected {len(self.models) - 1}: one for "
                "each model but the last"
            )
        return self

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The stated thresholds, one for each model but the last; none if selection rows choose them."""
        if isinstance(self.threshold, tuple):
            return self.threshold
        return () if isinstance(self.threshold, str) else (self.threshold,) * (len(self.models) - 1)

    @property
    def reads_selection(self) -> bool:
        """Whether thresholds or weights are chosen on the selection rows."""
        return self.ensemble or self.threshold == FROM_SELECTION

    @property
    def shown(self) -> str:
        """The models in order, for messages and records."""
        return " > ".join(self.models)
