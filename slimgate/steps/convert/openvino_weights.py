"""Stores the weights of an OpenVINO graph in 8 or 4 bits, with nncf; it still computes in float.

    { openvino_weights = { mode = "int4_sym", group_size = 64, ratio = 0.8 } }

int8 modes take every weight, also embeddings, with a scale per output channel. int4 modes keep the rest that
`ratio` leaves, embeddings and the output layer in int8. On the CPU OpenVINO may quantize activations before
such weights during a call: the runtime's dynamic_quantization_group_size = 0 prevents that.
For a decoder with a key-value cache the log has the share of greedy answers to calibration rows that change,
and the first token that differs.
Sources: Lin et al. 2023 (AWQ); Kozlov et al. 2020 (nncf).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from slimgate.models.openvino_model import OpenVinoModel

INT4_ONLY = ("group_size", "ratio", "all_layers", "awq", "scale_estimation")


class Params(Table):
    mode: Literal["int8_asym", "int8_sym", "int4_asym", "int4_sym"] = "int8_asym"
    """Number of bits of a weight (8 or 4). Modes that end in _asym use a zero point. In modes that end in
    _sym, the levels are symmetric around 0."""
    group_size: int | None = Field(default=None, ge=-1)
    """Number of weights that share a scale in int4 modes (-1: the whole channel); default: the default of
    nncf."""
    ratio: float | None = Field(default=None, ge=0, le=1)
    """In int4 modes, share of the weights, the least sensitive first, that are stored in 4 bits; default: the
    default of nncf."""
    all_layers: bool | None = None
    """In int4 modes, also store the token embeddings and the output layer in 4 bits."""
    awq: bool | None = None
    """In int4 modes, scale channels by their activations on calibration rows (AWQ)."""
    scale_estimation: bool | None = None
    """In int4 modes, fit the scales to calibration rows."""
    rows: int = Field(default=128, ge=1)
    """Largest number of `calibration` rows for awq and scale_estimation."""
    tolerance: float = Field(default=2.0, gt=0)
    """Largest allowed change of the answers by this step, in standard deviations of the scores."""

    @model_validator(mode="after")
    def _check_mode(self) -> Params:
        stated = [name for name in INT4_ONLY if getattr(self, name) is not None]
        if stated and self.mode.startswith("int8"):
            raise ValueError(f'{stated[0]} is for int4 modes, but mode = "{self.mode}" was given')
        if "rows" in self.model_fields_set and not (self.awq or self.scale_estimation):
            raise ValueError("rows needs awq = true or scale_estimation = true, and neither was given")
        if self.group_size == 0:
            raise ValueError("group_size is 0, expected -1 (a channel) or at least 1")
        return self


class OpenVinoWeights(Step[Params]):
    takes = frozenset({"openvino", "openvino_decoder"})
    reads = ("calibration",)
    claims = ("smaller",)
    packages = ("openvino", "nncf")

    def apply(self, model: OpenVinoModel, params: Params, context: BuildContext) -> OpenVinoModel:
        """The OpenVinoModel with stored levels. Raises BuildError of nncf, or MissingExtra without it."""
        from slimgate.models.openvino_model import load_nncf
        from slimgate.steps.convert._openvino_quantization import make_single_rows, quantize_model

        nncf = load_nncf("openvino_weights")
        options = {name: getattr(params, name) for name in INT4_ONLY if getattr(params, name) is not None}
        if params.awq or params.scale_estimation:
            rows = make_single_rows(model, context, params.rows)
            options |= {"dataset": nncf.Dataset(rows), "subset_size": len(rows)}
            context.log.update(calibration_rows=len(rows))
        mode = nncf.CompressWeightsMode(params.mode)
        return quantize_model(
            model,
            context,
            lambda graph: nncf.compress_weights(graph, mode=mode, **options),
            tolerance=params.tolerance,
        )


step = OpenVinoWeights()
