"""Exports a decoder (Llama, Qwen, …) as an OpenVINO graph that writes with a key-value cache.

    { to_openvino_decoder = {} }, { openvino_weights = { mode = "int4_sym", group_size = 64 } }

The graph keeps the keys and values of the tokens that it has read, and the runtime openvino_decoder calls it
once for each token. Weights stay float32; openvino_weights stores them in 8 or 4 bits, and the runtime's
`kv_cache` stores the cache in 8. Layers with a sliding window keep all tokens, and their mask makes the
window. The model before the step and the graph are compared on the calibration rows: their scores, and the
greedy answers of tasks that write. The step fails if either differs by more than `tolerance`.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from pydantic import Field

from slimgate.errors import SuiteError
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from slimgate.models.openvino_model import OpenVinoModel
    from slimgate.models.torch_model import TorchModel

FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "phi", "gpt2")


class Params(Table):
    tolerance: float = Field(default=0.01, gt=0)
    """Largest allowed change of the scores, in standard deviations of the scores. At the first token that
    changes in an answer, the expected token may score higher by at most this value."""


class ToOpenVinoDecoder(Step[Params]):
    gives = "openvino_decoder"
    reads = ("calibration",)
    packages = ("openvino",)
    requires = ("transformers>=5.18",)  # it has the exporter of decoders

    def check(self, params: Params, config: Json) -> Json:
        """Returns the configuration. Raises SuiteError for a family that is not exported."""
        if (model_type := config.get("model_type")) not in FAMILIES:
            raise SuiteError(
                f"the model is of type {model_type}, and slimgate exports {', '.join(FAMILIES)} with a "
                "key-value cache; to_openvino exports other models, without a cache"
            )
        return config

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> OpenVinoModel:
        """An OpenVinoModel of kind openvino_decoder. Raises BuildError if it cannot be made."""
        from slimgate.errors import BuildError
        from slimgate.models.generate import can_write
        from slimgate.models.openvino_decoder import export_decoder
        from slimgate.models.openvino_model import OpenVinoModel
        from slimgate.models.special_tokens import list_end_tokens
        from slimgate.steps.answer_agreement import check_converted

        self.check(params, model.config.to_dict())
        if not can_write(model.network):
            raise BuildError(
                f"{type(model.network).__name__} is not a causal language model, so it needs no key-value "
                "cache; to_openvino exports it"
            )
        config = copy.deepcopy(model.config)
        config.eos_token_id = sorted(list_end_tokens(model.tokenizer, model.network))
        exported = OpenVinoModel(export_decoder(model.network), model.tokenizer, config, self.gives)
        check_converted(model, exported, params.tolerance, context)
        context.log.update(operators=len(exported.graph.get_ops()))
        return exported


step = ToOpenVinoDecoder()
