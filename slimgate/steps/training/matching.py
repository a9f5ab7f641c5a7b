"""Comparisons inside the models, from which a student learns: hidden states, attention maps, relations.

| part      | compares                                                        | source                       |
|-----------|-----------------------------------------------------------------|------------------------------|
| hidden    | outputs of blocks, by a learned projection if widths differ     | Jiao et al. 2020, section 3  |
| attention | scores of every head before the softmax; needs equal heads      | Jiao et al. 2020, equation 7 |
| relation  | relations among queries, keys, values of a block, of any width  | Wang et al. 2021, section 3  |

All of them go token by token, without padding, so both models must read the same tokens. In a decoder a token
is compared only with those before it. Scores and relations are computed from the outputs of the query, key
and value layers. So they are the same for every attention implementation, and after any change of modules
that keeps the layers' names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from slimgate.errors import BuildError
from slimgate.models.blocks import Attention, blocks, list_block_names
from slimgate.models.module_outputs import Outputs
from slimgate.models.seeding import isolated_seed
from slimgate.steps.training.params import InnerParams, LayerMapping, map_layers

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel

Tensor = torch.Tensor


@dataclass(frozen=True)
class AttentionOutputs:
    """How to read queries, keys and values from the outputs of a block's attention layers.

    norms: of each head's queries and keys, if the attention has them.
    """

    attention: Attention
    causal: bool
    norms: tuple[nn.Module, nn.Module] | None = None

    @classmethod
    def of_attention(cls, model: TorchModel, attention: Attention) -> AttentionOutputs:
        """Raises BuildError for an attention that pruning has removed as a whole."""
        if not attention.heads:
            raise BuildError(
                f"distill: {attention.module} has no heads left to compare; set attention_weight = 0 and "
                "relation_weight = 0"
            )
        holder = model.network.get_submodule(attention.module)
        return cls(attention, bool(getattr(holder, "is_causal", False)), _find_head_norms(holder))

    @property
    def names(self) -> list[str]:
        """The modules to watch."""
        layers = self.attention
        return list(dict.fromkeys((layers.module, layers.query, layers.key, layers.value)))

    def split_projections(self, outputs: Outputs) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values: (rows, tokens, width) float32."""
        layers = self.attention
        if layers.fused:
            fused = outputs.values[layers.query].float()
            query, key, value = torch.split(fused, list(layers.widths), dim=-1)
        else:
            names = (layers.query, layers.key, layers.value)
            query, key, value = (outputs.values[name].float() for name in names)
        return query, key, value

    def compute_scores(self, outputs: Outputs) -> Tensor:
        """The input of the attention's softmax, without its mask: (rows, heads, tokens, tokens)."""
        attention = self.attention
        query, key, _ = self.split_projections(outputs)
        queries, keys = _split_heads(query, attention.heads), _split_heads(key, attention.kv_heads)
        if self.norms is not None:
            queries, keys = (norm(x) for norm, x in zip(self.norms, (queries, keys), strict=True))
        if attention.module in outputs.rotary:
            queries, keys = _rotate(queries, keys, outputs.rotary[attention.module])
        keys = keys.repeat_interleave(attention.heads // attention.kv_heads, dim=1)
        products: Tensor = queries @ keys.transpose(-1, -2) / attention.head_dim**0.5
        return products


def compute_relation_loss(
    student: Tensor, teacher: Tensor, mask: Tensor, *, heads: int, causal: bool
) -> Tensor:
    """KL between softmax(X X' / sqrt(d)) of both, mean over heads and real tokens: a scalar.

    student, teacher: (rows, tokens, width), of any widths that `heads` divides; mask: (rows, tokens).
    """
    pairs = make_pair_mask(mask, causal=causal)
    log_q, log_p = (_compute_relations(x.float(), heads, pairs) for x in (student, teacher))
    divergence = (log_p.exp() * (log_p - log_q) * pairs).sum(-1)
    return divergence.sum() / (heads * mask.sum())


def _compute_relations(values: Tensor, heads: int, pairs: Tensor) -> Tensor:
    """log softmax of the relations: (rows, heads, tokens, tokens)."""
    parts = _split_heads(values, heads)
    scores = parts @ parts.transpose(-1, -2) / parts.shape[-1] ** 0.5
    # a finite number, because 0 · (-inf + inf) would be NaN
    return torch.log_softmax(scores.masked_fill(pairs == 0, -1e9), dim=-1)


def _split_heads(values: Tensor, heads: int) -> Tensor:
    """(rows, tokens, width) -> (rows, heads, tokens, width / heads)."""
    rows, tokens, width = values.shape
    return values.view(rows, tokens, heads, width // heads).transpose(1, 2)


def _find_head_norms(attention: nn.Module) -> tuple[nn.Module, nn.Module] | None:
    """The norms of each head's queries and keys (Qwen3, Gemma 3, some of Phi)."""
    for query, key in (("q_norm", "k_norm"), ("q_layernorm", "k_layernorm")):
        if hasattr(attention, query):
            return getattr(attention, query), getattr(attention, key)
    return None


def _rotate(queries: Tensor, keys: Tensor, rotary: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Rotates queries and keys by their positions; in Phi, only the first features of each head."""
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    cos, sin = (part.float() for part in rotary)
    features = cos.shape[-1]
    rotated = apply_rotary_pos_emb(queries[..., :features], keys[..., :features], cos, sin)
    pairs = zip(rotated, (queries, keys), strict=True)
    queries, keys = (torch.cat((part, old[..., features:]), dim=-1) for part, old in pairs)
    return queries, keys


def make_pair_mask(mask: Tensor, *, causal: bool) -> Tensor:
    """1 if both tokens are real, in a decoder the second not later: (rows, 1, tokens, tokens) float."""
    real = mask.float()
    pairs = real[:, None, :, None] * real[:, None, None, :]
    return pairs.tril() if causal else pairs


class Match(ABC):
    """One comparison. student, teacher: names of modules whose outputs it needs; module: what it trains."""

    name: ClassVar[str]
    weight: float
    student: list[str]
    teacher: list[str]
    module: nn.Module | None = None

    @abstractmethod
    def __call__(self, student: Outputs, teacher: Outputs, mask: Tensor) -> Tensor:
        """The loss of a batch, a scalar; 0 for a perfect mimic. mask: (rows, tokens), 0 where padded."""


class HiddenMatch(Match):
    """Mean squared error of hidden states, or 1 - cosine (Sanh et al. 2019, DistilBERT)."""

    name = "hidden"

    def __init__(
        self,
        student: TorchModel,
        teacher: TorchModel,
        *,
        weight: float,
        mapping: LayerMapping = "even",
        cosine: bool = False,
        project: bool = False,
    ) -> None:
        """project: learn a projection (student width, teacher width) if the widths differ, else refuse.

        One projection serves all blocks, as in TinyBERT.
        """
        self.weight, self._cosine = weight, cosine
        width, teacher_width = student.config.hidden_size, teacher.config.hidden_size
        if width != teacher_width and not project:
            raise BuildError(
                f"distill: hidden_weight needs equal hidden sizes, the student has {width}, the teacher "
                f"{teacher_width}; set hidden_weight = 0"
            )
        self.student, teacher_names = list_block_names(student.network), list_block_names(teacher.network)
        numbers = map_layers(len(self.student), len(teacher_names), mapping)
        self.teacher = [teacher_names[number] for number in numbers]
        if width != teacher_width:
            projection = nn.Linear(width, teacher_width, bias=False)
            nn.init.orthogonal_(projection.weight)
            self.module = projection

    def __call__(self, student: Outputs, teacher: Outputs, mask: Tensor) -> Tensor:
        losses = []
        for name, teacher_name in zip(self.student, self.teacher, strict=True):
            states, expected = student.values[name].float(), teacher.values[teacher_name].float()
            if self.module is not None:
                states = self.module(states)
            losses.append(_compute_token_error(states, expected, mask, cosine=self._cosine))
        return torch.stack(losses).mean()


class AttentionMatch(Match):
    """Mean squared error of attention scores (query · key / sqrt(head_dim)) before the softmax."""

    name = "attention"

    def __init__(
        self, student: TorchModel, teacher: TorchModel, *, weight: float, mapping: LayerMapping = "even"
    ) -> None:
        self.weight = weight
        readers, teacher_readers = (
            [AttentionOutputs.of_attention(model, block.attention) for block in blocks(model.network)]
            for model in (student, teacher)
        )
        numbers = map_layers(len(readers), len(teacher_readers), mapping)
        self._readers, self._teacher_readers = readers, [teacher_readers[number] for number in numbers]
        for number, (reader, teacher_reader) in enumerate(self._list_pairs()):
            heads, teacher_heads = reader.attention.heads, teacher_reader.attention.heads
            if heads != teacher_heads:
                raise BuildError(
                    f"distill: attention_weight compares head by head, and block {number} of the student has "
                    f"{heads} heads, its teacher's {teacher_heads}; use relation_weight instead"
                )
        self.student = [name for reader in self._readers for name in reader.names]
        self.teacher = [name for reader in self._teacher_readers for name in reader.names]

    def _list_pairs(self) -> Iterable[tuple[AttentionOutputs, AttentionOutputs]]:
        return zip(self._readers, self._teacher_readers, strict=True)

    def __call__(self, student: Outputs, teacher: Outputs, mask: Tensor) -> Tensor:
        losses = []
        for reader, teacher_reader in self._list_pairs():
            pairs = make_pair_mask(mask, causal=reader.causal)
            squared = (reader.compute_scores(student) - teacher_reader.compute_scores(teacher)) ** 2 * pairs
            losses.append(squared.sum() / (pairs.sum() * reader.attention.heads))
        return torch.stack(losses).mean()


class RelationMatch(Match):
    """Divergence of the relations among queries, among keys and among values: MiniLMv2.

    The width of each is cut into `heads` relation heads on both sides, however many heads attend; R =
    softmax(Q Q' / sqrt(width / heads)); the loss is KL(teacher ‖ student), mean over heads and tokens, summed
    over the three. The student's last block learns from one block of the teacher's.
    """

    name = "relation"

    def __init__(
        self,
        student: TorchModel,
        teacher: TorchModel,
        *,
        weight: float,
        heads: int | None = None,
        block: int | None = None,
    ) -> None:
        """heads: default the teacher's attention heads; block: number from 0, default the last."""
        self.weight = weight
        teacher_blocks = blocks(teacher.network)
        last = len(teacher_blocks) - 1
        number = last if block is None else block
        if number > last:
            raise BuildError(f"distill: relation_block = {number}, but the teacher has blocks 0 to {last}")
        self._reader = AttentionOutputs.of_attention(student, blocks(student.network)[-1].attention)
        self._teacher_reader = AttentionOutputs.of_attention(teacher, teacher_blocks[number].attention)
        self.heads = heads or self._teacher_reader.attention.heads
        for role, reader in (("student", self._reader), ("teacher", self._teacher_reader)):
            if undivided := [width for width in reader.attention.widths if width % self.heads]:
                raise BuildError(
                    f"distill: the {role}'s queries, keys or values have the width {undivided[0]}, which is "
                    f"no multiple of {self.heads} relation heads; set relation_heads to a number that "
                    "divides the widths of student and teacher"
                )
        self.student, self.teacher = self._reader.names, self._teacher_reader.names

    def __call__(self, student: Outputs, teacher: Outputs, mask: Tensor) -> Tensor:
        total = torch.zeros((), device=mask.device)
        projections = self._reader.split_projections(student)
        teacher_projections = self._teacher_reader.split_projections(teacher)
        for values, expected in zip(projections, teacher_projections, strict=True):
            total = total + compute_relation_loss(
                values, expected, mask, heads=self.heads, causal=self._reader.causal
            )
        return total


def make_matches(student: TorchModel, teacher: TorchModel, params: InnerParams, *, seed: int) -> list[Match]:
    """The comparisons that have a weight; fresh projections start from the seed."""
    matches: list[Match] = []
    with isolated_seed(seed):
        if params.hidden_weight:
            hidden = HiddenMatch(
                student,
                teacher,
                weight=params.hidden_weight,
                mapping=params.layer_mapping,
                cosine=params.hidden_loss == "cosine",
                project=True,
            )
            matches.append(hidden)
    if params.attention_weight:
        weight, mapping = params.attention_weight, params.layer_mapping
        matches.append(AttentionMatch(student, teacher, weight=weight, mapping=mapping))
    if params.relation_weight:
        heads, block = params.relation_heads, params.relation_block
        matches.append(
            RelationMatch(student, teacher, weight=params.relation_weight, heads=heads, block=block)
        )
    return matches


def _compute_token_error(student: Tensor, teacher: Tensor, mask: Tensor, *, cosine: bool) -> Tensor:
    """Mean over real tokens, and over features for squared errors."""
    weights = mask.float()
    if cosine:
        distance = 1 - nn.functional.cosine_similarity(student, teacher, dim=-1)
    else:
        distance = ((student - teacher) ** 2).mean(-1)
    return (distance * weights).sum() / weights.sum()
