"""Replaces the model by one without attention, which distill then trains.

    { static_student = { dims = 256 } }
    { static_student = { dims = 256, bigrams = 4096 } }

A text's vector is the weighted mean of its tokens' vectors, and the model's own head reads it. A token's
first vector is the head's input for a text with this token alone (model2vec: van Dongen & Tulkens 2024,
"Model2Vec: Turn any Sentence Transformer into a Small Fast Model"), reduced by principal component analysis
and multiplied by a / (a + share of the token in `train`) (Arora et al. 2017, A Simple but Tough-to-Beat
Baseline for Sentence Embeddings, equation 3). All weights of the mean start equal; the tokens around a text,
such as [CLS], have none. The next step trains vectors, weights and head:

    steps = [
      { trim_vocabulary = { vocab_size = 8000 } },
      { static_student = {} },
      { distill = { learning_rate = 1.5e-3, dropout = 0.5, epochs = 3 } },
    ]

It takes models that answer a whole text by a head of one linear layer, and sentence encoders. The order of
words does not count, except for neighbours with bigrams, so negation and similar features are lost. With
bigrams, put trim_vocabulary before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from slimgate.errors import SuiteError
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel
    from slimgate.plugins.base import Json

_WIDTHS = ("hidden_size", "dim", "n_embd", "d_model")
_BLOCKS = ("num_hidden_layers", "n_layers", "n_layer")


class Params(Table):
    dims: int = Field(default=256, ge=1)
    """Number of dimensions of a token's vector; it cannot exceed the width of the model."""
    bigrams: int = Field(default=0, ge=0)
    """Number of vectors for pairs of neighbouring tokens; a hash assigns each pair to a vector. 0: the order
    of tokens has no effect."""
    sif: float = Field(default=1e-3, gt=0)
    """At the start, each token's vector is multiplied by sif / (sif + the token's share in `train`). With a
    large value, all tokens have about the same weight."""


class StaticStudent(Step[Params]):
    reads = ("train",)
    claims = ("smaller", "fewer_parameters", "faster")

    def check(self, params: Params, config: Json) -> dict[str, Any]:
        """The configuration after the step. Raises SuiteError if the model does not fit, or is too narrow."""
        if config.get("is_encoder_decoder"):
            raise SuiteError(
                "an encoder-decoder writes its answers, which a mean of token vectors cannot; expected an "
                "encoder with a head, or one of sentence vectors"
            )
        width = next((config[name] for name in _WIDTHS if name in config), None)
        if isinstance(width, int) and params.dims > width:
            raise SuiteError(f"dims = {params.dims}, but the model is {width} wide; expected at most {width}")
        return {**config, **dict.fromkeys((name for name in _BLOCKS if name in config), 0)}

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model of token vectors."""
        from slimgate.steps.finetune._static_student import make_static_model

        return make_static_model(model, params, context)


step = StaticStudent()
