"""How varied the text is that teacher and variant write behind the first tokens of gate rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from slimgate.models.writing import can_write, continued, room
from slimgate.protocols import Compared
from slimgate.tasks.parts.diversity import diversity

PROMPTS = 64
PROMPT_TOKENS = 8
WORDS = {
    "distinct_1": "different words / words",
    "distinct_2": "different word pairs / pairs",
    "distinct_3": "different runs of three words / runs",
    "repetition_4": "runs of four words that came before in their text",
}


@dataclass(frozen=True)
class _Plain:
    """Drawn from the model's own distribution, as it is: what it has forgotten does not come.

    All texts are of this length, for the share of different words falls with the amount of text.
    """

    tokens: int = 32
    temperature: float = 1.0
    top_k: int = 0


def written_figures(teacher: Compared, variant: Compared) -> dict[str, dict[str, Any]]:
    """name -> what, teacher, variant; of a model that PyTorch does not run, None."""
    tokens = _tokens(teacher, variant)
    theirs, ours = _diversity(teacher, tokens), _diversity(variant, tokens)
    return {
        name: {
            "what": f"{what}, of text written behind the first {PROMPT_TOKENS} tokens of {PROMPTS} gate rows",
            "teacher": theirs.get(name),
            "variant": ours.get(name),
        }
        for name, what in WORDS.items()
    }


def _network(model: Compared) -> Any:
    return getattr(model.predictor, "network", None)


def _tokens(*models: Compared) -> int:
    """How many tokens all of them write: fewer where one has positions for fewer."""
    rooms = [room(_network(model)) for model in models if can_write(_network(model))]
    return min([_Plain.tokens, *(most - PROMPT_TOKENS for most in rooms if most is not None)])


def _diversity(model: Compared, tokens: int) -> dict[str, float | None]:
    network = _network(model)
    if tokens < 1 or not can_write(network):
        return {}
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model.folder, trust_remote_code=False)
    encoded: Any = model.encoded
    firsts = np.unique(encoded.row_of, return_index=True)[1]
    chosen = firsts[np.unique(np.linspace(0, len(firsts) - 1, min(PROMPTS, len(firsts))).round().astype(int))]
    prompts = [list(encoded.columns["input_ids"][place][:PROMPT_TOKENS]) for place in chosen]
    texts = continued(network, tokenizer, prompts, _Plain(tokens), seed=0, endless=True)
    return diversity(tokenizer.batch_decode(texts, skip_special_tokens=True))
