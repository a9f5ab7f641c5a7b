"""The base class of tasks whose models are causal language models: they learn the tokens of windows."""

from __future__ import annotations

from abc import abstractmethod
from types import MappingProxyType
from typing import TYPE_CHECKING

from slimgate.plugins.base import P
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import ModelRef
from slimgate.plugins.rows import Rows, TaskFacts
from slimgate.plugins.task import Task

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel
    from slimgate.tasks.parts.language_model import Windows
    from slimgate.tasks.parts.objectives import Objective, TokenTargets


class TokenTask(Task[P]):
    """A model learns each token that counts in a window from the tokens before it."""

    pipeline = "text-generation"
    # The next token follows from the end of a text.
    tokenizer_settings = MappingProxyType({"padding_side": "right", "truncation_side": "left"})

    def label_column(self, params: P) -> str | None:
        """None: splits are not stratified."""
        return None

    @abstractmethod
    def list_texts(self, params: P, rows: Rows) -> list[str]:
        """The texts that a new tokenizer is trained on."""

    def load_model(self, params: P, ref: ModelRef, context: BuildContext) -> TorchModel:
        """Loads the model of a ref. Raises BuildError if weights are missing, or it reads later tokens."""
        from slimgate.tasks.parts.language_model import load_language_model

        return load_language_model(ref, context, lambda: self.list_texts(params, context.rows("train")))

    def targets(self, params: P, rows: Rows, facts: TaskFacts, encoded: Windows) -> TokenTargets:
        """The tokens that count."""
        return _make_targets(encoded)

    def targets_without_labels(self, params: P, encoded: Windows, facts: TaskFacts) -> TokenTargets:
        """The same targets as with labels, because models learn the text."""
        return _make_targets(encoded)

    def objective(self, params: P) -> Objective:
        """The loss of the next token at each position that counts."""
        from slimgate.tasks.parts.objectives import TokenObjective

        return TokenObjective(shifted=True)


def _make_targets(encoded: Windows) -> TokenTargets:
    from slimgate.tasks.parts.objectives import TokenTargets

    return TokenTargets(encoded.list_labels(), side=encoded.side)
