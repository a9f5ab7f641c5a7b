"""The families of transformers whose parts slimgate knows: one entry for each.

    find_family({"model_type": "qwen3", …})      -> the entry Qwen3

To add a family, add an entry to FAMILIES and a tiny shape of it to fixtures/models/architectures.py. If its
layers have names that no entry has yet, add a Layout. If a step cannot change it, say why in `without`; the
suite then refuses that step before a model loads, and the page of families shows the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from slimgate.errors import SuiteError
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# The parts that a step may change in addition to single weights (Step.changes):
#   blocks   the list of blocks            heads    attention heads
#   neurons  the width of feed-forward     stream   the width of the hidden states
Part = Literal["blocks", "heads", "neurons", "stream"]


@dataclass(frozen=True)
class Layout:
    """Names of a block's layers, relative to the block.

    attention: the module that holds head counts. One name for query, key and value is one fused layer, in
    that order. inputs: (up,) or (gate, up); one name twice is one fused layer. Without inputs, the
    feed-forward part is not a pair of linear layers (a mixture of experts).
    """

    attention: str
    query: str
    key: str
    value: str
    output: str
    inputs: tuple[str, ...] = ()
    down: str = ""

    @property
    def names(self) -> set[str]:
        """All names that a block must have."""
        return {self.query, self.key, self.value, self.output, *self.inputs} | ({self.down} - {""})


@dataclass(frozen=True)
class Family:
    """A family of transformers.

    model_types: of config.json. lists: the names of an encoder-decoder's lists of blocks, after the network's
    own prefix; in other models the list is found by its length. experts: the class that holds the weights of
    all experts in one parameter. norm_offset: what a norm adds to its weight before it multiplies. without:
    the parts that cannot be changed, with the reason.
    """

    name: str
    model_types: tuple[str, ...]
    layouts: tuple[Layout, ...]
    lists: tuple[str, ...] = ()
    experts: str = ""
    norm_offset: float = 0.0
    without: Mapping[Part, str] = field(default_factory=dict)


def _make_projection_layout(
    attention: str, output: str, inputs: tuple[str, ...] = (), down: str = ""
) -> Layout:
    query, key, value = (f"{attention}.{name}_proj" for name in "qkv")
    return Layout(attention, query, key, value, f"{attention}.{output}", inputs, down)


def _make_fused_layout(attention: str, inner: str, output: str, inputs: tuple[str, ...], down: str) -> Layout:
    fused = f"{attention}.{inner}"
    return Layout(attention, fused, fused, fused, f"{attention}.{output}", inputs, down)


def _make_t5_layout(part: int, *inputs: str) -> Layout:
    attention, dense = "layer.0.SelfAttention", f"layer.{part}.DenseReluDense"
    query, key, value, output = (f"{attention}.{name}" for name in "qkvo")
    names = tuple(f"{dense}.{name}" for name in inputs)
    return Layout(attention, query, key, value, output, names, f"{dense}.wo")


_BERT = Layout(
    "attention.self",
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    ("intermediate.dense",),
    "output.dense",
)
_DISTILBERT = Layout(
    "attention",
    "attention.q_lin",
    "attention.k_lin",
    "attention.v_lin",
    "attention.out_lin",
    ("ffn.lin1",),
    "ffn.lin2",
)
_GPT2 = _make_fused_layout("attn", "c_attn", "c_proj", ("mlp.c_fc",), "mlp.c_proj")
_LLAMA = _make_projection_layout("self_attn", "o_proj", ("mlp.gate_proj", "mlp.up_proj"), "mlp.down_proj")
_PHI = _make_projection_layout("self_attn", "dense", ("mlp.fc1",), "mlp.fc2")
_PHI3 = _make_fused_layout("self_attn", "qkv_proj", "o_proj", ("mlp.gate_up_proj",) * 2, "mlp.down_proj")
_OPT = _make_projection_layout("self_attn", "out_proj", ("fc1",), "fc2")
_CLIP = _make_projection_layout("self_attn", "out_proj", ("mlp.fc1",), "mlp.fc2")
_MODERNBERT = _make_fused_layout("attn", "Wqkv", "Wo", ("mlp.Wi",) * 2, "mlp.Wo")
_MIXTURE = _make_projection_layout("self_attn", "o_proj")
_T5 = tuple(_make_t5_layout(part, *inputs) for part in (1, 2) for inputs in (("wi",), ("wi_0", "wi_1")))

_TWO_LISTS: Mapping[Part, str] = {
    "blocks": "its encoder and its decoder have a list of blocks each, and the step takes one list; "
    "keep_layers = { encoder = [0, 1], decoder = [0] } takes both",
    "stream": "its encoder, its decoder and the cross-attention between them share the width",
}
_EXPERTS: Mapping[Part, str] = {
    "neurons": "each block has many experts, and a router that chooses among them",
    "stream": "the router reads the hidden states by a weight that is not a linear layer",
}

FAMILIES = (
    Family("BERT", ("bert", "roberta", "xlm-roberta", "camembert", "electra"), (_BERT,)),
    Family("DistilBERT", ("distilbert",), (_DISTILBERT,)),
    Family("ModernBERT", ("modernbert",), (_MODERNBERT,)),
    Family("GPT-2", ("gpt2",), (_GPT2,)),
    Family("OPT", ("opt",), (_OPT,)),
    Family("Llama", ("llama",), (_LLAMA,)),
    Family("Mistral", ("mistral",), (_LLAMA,)),
    Family("Qwen2", ("qwen2",), (_LLAMA,)),
    Family("Qwen3", ("qwen3",), (_LLAMA,)),
    Family("Gemma 2", ("gemma2",), (_LLAMA,), norm_offset=1.0),
    Family("Gemma 3 (text)", ("gemma3_text",), (_LLAMA,), norm_offset=1.0),
    Family("Phi", ("phi",), (_PHI,)),
    Family(
        "Phi-3",
        ("phi3",),
        (_PHI3,),
        without={"heads": "its attention reads the head count from config.json, one for all blocks"},
    ),
    Family("Mixtral", ("mixtral",), (_MIXTURE,), experts="MixtralExperts", without=_EXPERTS),
    Family("Qwen3-MoE", ("qwen3_moe",), (_MIXTURE,), experts="Qwen3MoeExperts", without=_EXPERTS),
    Family("CLIP", ("clip_text_model", "clip_vision_model"), (_CLIP,)),
    Family(
        "BART", ("bart", "mbart"), (_OPT,), lists=("encoder.layers", "decoder.layers"), without=_TWO_LISTS
    ),
    Family("Marian", ("marian",), (_OPT,), lists=("encoder.layers", "decoder.layers"), without=_TWO_LISTS),
    Family(
        "T5",
        ("t5",),
        _T5,
        lists=("encoder.block", "decoder.block"),
        without={
            **_TWO_LISTS,
            "heads": "all blocks share the position scores that the first block has for each head",
        },
    ),
)
# The layouts by which a model without an entry is recognized. Layouts without `inputs` leave a part of the
# block unnamed, so a match would not say enough.
LAYOUTS = tuple(dict.fromkeys(each for family in FAMILIES for each in family.layouts if each.inputs))
FAMILY_NAMES = ", ".join(family.name for family in FAMILIES)


def find_family(config: PreTrainedConfig | Mapping[str, object]) -> Family | None:
    """The entry of a configuration, an object or the content of config.json; None if it has no entry.

    A model without an entry may still be recognized by the names of its layers (blocks.py).
    """
    kind = config.get("model_type") if isinstance(config, Mapping) else getattr(config, "model_type", None)
    return next((family for family in FAMILIES if kind in family.model_types), None)


def find_refusal(step: Step[Any], family: Family) -> str | None:
    """Why the step cannot change a model of the family; None if it can."""
    return next((family.without[part] for part in step.changes if part in family.without), None)  # type: ignore[index]


def check_family(name: str, step: Step[Any], config: PreTrainedConfig | Mapping[str, object]) -> None:
    """Raises SuiteError if the step cannot change a model of this configuration.

    name: of the step; config: an object, or the content of config.json.
    """
    family = find_family(config)
    if family is None or (reason := find_refusal(step, family)) is None:
        return
    *names, last = (other.name for other in FAMILIES if find_refusal(step, other) is None)
    possible = f"{', '.join(names)} and {last}" if names else last
    raise SuiteError(f"{name} cannot change {family.name}: {reason}; it can change {possible}")


def refuse_encoder_decoder(config: Mapping[str, object]) -> None:
    """Raises SuiteError for a step whose format takes a network of one forward pass."""
    family = find_family(config)
    if config.get("is_encoder_decoder") or (family is not None and family.lists):
        raise SuiteError(
            "this format needs a network with one forward pass, but an encoder-decoder writes its answer "
            "token by token; use to_ctranslate2"
        )
