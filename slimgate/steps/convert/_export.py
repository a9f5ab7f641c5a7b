"""The check of every step that exports one network as one graph, before anything is built."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

from slimgate.models.families import refuse_encoder_decoder
from slimgate.plugins.base import Json
from slimgate.plugins.step import Step

P = TypeVar("P", bound=BaseModel)


class ExportStep(Step[P]):
    """A step that makes a graph of a network with one stack of blocks."""

    def check(self, params: P, config: Json) -> Json:
        """Returns the configuration. Raises SuiteError for an encoder-decoder."""
        refuse_encoder_decoder(config)
        return config
