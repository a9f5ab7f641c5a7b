"""The base class of measurements: what a model costs, in a figure that slimgate does not know itself.

Examples are the energy of a call, or the time until a model is loaded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol

# The fewest rounds for which the interval of a median exists at 95 %: 1 - 2 / 2^6.
LEAST_ROUNDS = 6


class MeasuredModel(Protocol):
    """A built model, as a measurement gets it."""

    @property
    def name(self) -> str:
        """The name of the variant, or "teacher"."""

    @property
    def folder(self) -> Path:
        """The folder with the files of the model."""

    def load_in_new_process(self) -> float:
        """Seconds in which a new process imports the runtime and loads the model.

        The process then predicts the largest workload a few times, which these seconds do not contain.
        """


class Measurement(ABC):
    """Measures one figure of a model. A smaller value is better.

    title: the name of the figure in reports, such as "load time".
    unit: the unit of a value; "" for a number of things.
    readings: how often each model is measured, in turns with the teacher. 1 is for a figure that is counted,
        and so the same each time. For other figures, at least LEAST_ROUNDS.
    """

    title: str
    unit: str = ""
    readings: int = 10

    @abstractmethod
    def measure(self, model: MeasuredModel) -> float:
        """Takes one reading. Readings must not depend on each other.

        A process stays some per cent faster or slower until it ends, because of its place in memory. So a
        figure that depends on time needs a new process for each reading.

        Args:
            model: the teacher or a variant.

        Returns:
            The figure, above 0, in `unit`.

        Raises:
            MeasureError: if the figure cannot be measured on this machine.
        """
