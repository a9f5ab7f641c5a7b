"""Replaces the model by a fresh, smaller one of its own family and tokenizer, to be trained by distill.

    { new_student = { layers = 2, hidden = 192 } }
    { new_student = { layers = 2, hidden = 192, heads = 6, intermediate = 768, embeddings = "pca" } }

What is left out stays in proportion: heads keep their width, the feed-forward part its ratio to hidden. With
embeddings = "pca" the energy kept is logged. A student that starts from weights of its own is the better one
(Turc et al. 2019, Well-Read Students): that is a variant with model = …; a student cut from the teacher is
keep_layers or a structured pruning. Shape as in Sun et al. 2020 and Jiao et al. 2020.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from slimgate.errors import SuiteError
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step


class Params(Table):
    """The shape of the new model; at least one of layers and hidden."""

    layers: int | None = Field(default=None, ge=1)
    """Blocks of the new model; default: as many as before."""
    hidden: int | None = Field(default=None, ge=1)
    """Width of the hidden states; default: as before."""
    heads: int | None = Field(default=None, ge=1)
    """Attention heads; default: in proportion to hidden."""
    intermediate: int | None = Field(default=None, ge=1)
    """Width of the feed-forward layers; default: in proportion to hidden."""
    embeddings: Literal["random", "pca"] = "random"
    """Start of the token and position tables: random numbers, or the model's own by PCA."""

    @model_validator(mode="after")
    def _smaller_somehow(self) -> Params:
        if self.layers is None and self.hidden is None:
            raise ValueError("expected layers or hidden, as in { layers = 2, hidden = 192 }")
        if self.hidden is not None and self.heads is not None and self.hidden % self.heads:
            raise ValueError(f"hidden = {self.hidden} is no multiple of heads = {self.heads}")
        return self


class NewStudent(Step[Params]):
    stochastic = True
    claims = ("smaller", "fewer_parameters", "faster")
    changes = ("blocks",)

    def check(self, params: Params, config: dict[str, Any]) -> dict[str, Any]:
        """The configuration after the step. Raises SuiteError for a shape that is not smaller than before."""
        for name_in_model, names in (
            (params.layers, ("num_hidden_layers", "n_layers", "n_layer")),
            (params.hidden, ("hidden_size", "dim", "n_embd")),
        ):
            had = next((config[name] for name in names if name in config), None)
            if isinstance(had, int) and name_in_model is not None:
                if name_in_model > had:
                    raise SuiteError(
                        f"{name_in_model} came, but the model has {names[0]} = {had}, expected no more"
                    )
                config = {**config, names[0]: name_in_model}
        return config

    def apply(self, model: Any, params: Params, context: BuildContext) -> Any:
        """The new model."""
        from slimgate.steps.finetune._new_student import new_model

        return new_model(model, params, context)


step = NewStudent()
