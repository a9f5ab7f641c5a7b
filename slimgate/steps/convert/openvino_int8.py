"""Quantizes an OpenVINO graph to int8, weights and activations, with nncf.

    { openvino_int8 = { preset = "mixed", embeddings = true } }
    { openvino_int8 = { accuracy_control = { max_drop_points = 1.0 } } }

Ranges of activations come from calibration rows, one row at a time, so that nothing is computed from them
later and padding does not count. accuracy_control removes quantizers again, beginning with those that change
the answers most, until the task's first metric has dropped by no more than max_drop_points.
Sources: Jacob et al. 2018, section 2; Xiao et al. 2022 (SmoothQuant); Kozlov et al. 2020 (nncf).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step
from slimgate.steps.observers import SmoothAlpha

if TYPE_CHECKING:
    import nncf
    import openvino

    from slimgate.models.openvino_model import OpenVinoModel
    from slimgate.plugins.base import Arrays
    from slimgate.steps.convert._openvino_quantization import Validation


class AccuracyControl(Table):
    max_drop_points: float = Field(default=1.0, gt=0, le=100)
    """Percentage points that the task's first metric may lose; for perplexity, the percent by which it may
    grow."""
    split: Literal["selection", "calibration"] = "selection"
    """Split on whose rows the metric is computed."""
    max_rounds: int = Field(default=20, ge=1)
    """Largest number of rounds; each round removes quantizers."""


class Params(Table):
    preset: Literal["performance", "mixed"] = "mixed"
    """Levels of the activations: symmetric ("performance"), or asymmetric, which is more accurate
    ("mixed")."""
    rows: int = Field(default=128, ge=1)
    """Largest number of `calibration` rows that determine the ranges."""
    smooth_alpha: SmoothAlpha = 0.95
    """SmoothQuant's alpha: the share of the quantization difficulty that moves from activations to weights;
    false: no SmoothQuant."""
    bias_correction: bool = True
    """Correct biases by the mean error of the outputs."""
    embeddings: bool = False
    """Also quantize the token embeddings."""
    output_layer: bool = False
    """Also quantize the output layer, which gives the logits."""
    ignored: tuple[str, ...] = ()
    """Regular expressions; operators whose names match one of them stay in float."""
    accuracy_control: AccuracyControl | None = None
    """Remove quantizers again until the metric loses at most max_drop_points; default: no quantizer is
    removed."""
    tolerance: float = Field(default=2.0, gt=0)
    """Largest allowed change of the answers by this step, in standard deviations of the scores."""


class OpenVinoInt8(Step[Params]):
    takes = frozenset({"openvino"})
    gives = "openvino"
    reads = ("calibration",)
    claims = ("smaller", "faster")
    packages = ("openvino", "nncf")

    def also_reads(self, params: Params) -> tuple[str, ...]:
        """The split that accuracy control judges on."""
        control = params.accuracy_control
        return () if control is None else (control.split,)

    def by_processor(self, params: Params) -> bool:
        """True with accuracy control: it removes quantizers by the int8 graph's answers on this processor."""
        return params.accuracy_control is not None

    def apply(self, model: OpenVinoModel, params: Params, context: BuildContext) -> OpenVinoModel:
        """The OpenVinoModel with int8 operators. Raises BuildError of nncf, or MissingExtra without it."""
        from slimgate.models.openvino_model import load_nncf
        from slimgate.steps.convert._openvino_quantization import (
            Validation,
            find_output_layer,
            list_embedding_lookups,
            make_single_rows,
            quantize_model,
        )

        nncf = load_nncf("openvino_int8")
        rows = make_single_rows(model, context, params.rows)
        left_out = [] if params.embeddings else list_embedding_lookups(model.graph)
        last = None if params.output_layer else find_output_layer(model.graph)
        left_out += [] if last is None else [last]
        options: dict[str, Any] = {
            "preset": nncf.QuantizationPreset(params.preset),
            "model_type": nncf.ModelType.TRANSFORMER,
            "subset_size": len(rows),
            "ignored_scope": nncf.IgnoredScope(names=left_out, patterns=list(params.ignored)),
        }
        advanced = _make_advanced_parameters(nncf, params)

        def quantize(graph: openvino.Model) -> Any:
            if params.accuracy_control is None:
                return nncf.quantize(graph, nncf.Dataset(rows), advanced_parameters=advanced, **options)
            validation = Validation(model, context, params.accuracy_control.split)
            result = _quantize_with_accuracy_control(
                graph, rows, validation, params.accuracy_control, advanced, options
            )
            context.log.update(validation.log)
            return result

        quantized = quantize_model(model, context, quantize, tolerance=params.tolerance)
        kinds = [node.get_type_name() for node in quantized.graph.get_ops()]
        context.log.update(
            calibration_rows=len(rows), fake_quantize=kinds.count("FakeQuantize"), left_in_float=len(left_out)
        )
        return quantized


step = OpenVinoInt8()


def _make_advanced_parameters(nncf: ModuleType, params: Params) -> Any:
    alpha = -1.0 if params.smooth_alpha is False else float(params.smooth_alpha)
    return nncf.AdvancedQuantizationParameters(
        disable_bias_correction=not params.bias_correction,
        smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=alpha),
    )


def _quantize_with_accuracy_control(
    graph: openvino.Model,
    rows: Sequence[Arrays],
    validation: Validation,
    control: AccuracyControl,
    advanced: nncf.AdvancedQuantizationParameters,
    options: Mapping[str, object],
) -> openvino.Model:
    import nncf

    quantized: openvino.Model = nncf.quantize_with_accuracy_control(
        graph,
        nncf.Dataset(rows),
        nncf.Dataset(range(len(validation)), validation.make_inputs),
        validation.measure,
        max_drop=validation.compute_allowed_drop(control.max_drop_points),
        drop_type=nncf.DropType.ABSOLUTE,
        advanced_quantization_parameters=advanced,
        advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(
            max_num_iterations=control.max_rounds
        ),
        **options,
    )
    return quantized
