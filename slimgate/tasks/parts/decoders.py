"""Causal language models as tasks load them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from slimgate.errors import SuiteError
from slimgate.models.config import check_positions
from slimgate.models.pretrained import require_weights, weights_of
from slimgate.models.saved_files import check_tokenizer
from slimgate.protocols import BuildContext, Json, ModelRef

CAUSAL = "transformers:AutoModelForCausalLM"


def check_decoder(max_tokens: int, ref: ModelRef, config: Json) -> None:
    """Raises SuiteError where a config.json is of no causal language model, or has too few positions."""
    check_positions(max_tokens, ref, config)
    check_tokenizer(ref)
    for name in config.get("architectures") or ():
        if "For" in name and not name.endswith("ForCausalLM"):
            raise SuiteError(f"{ref.text} is a {name}, expected a causal language model (…ForCausalLM)")


def load_decoder(ref: ModelRef, context: BuildContext, train_texts: Callable[[], Sequence[str]]) -> Any:
    """The TorchModel of a ref. Raises BuildError where weights are missing, or it sees the next token.

    train_texts: read for a model with random weights alone, whose tokenizer is trained on them.
    """
    from slimgate.models.pretrained import config_of, tokenizer_of
    from slimgate.models.seeding import isolated_seed
    from slimgate.models.torch_model import TorchModel
    from slimgate.tasks.parts.language_model import check_causal

    assert ref.folder is not None
    config = config_of(ref)
    tokenizer = tokenizer_of(ref, train_texts() if ref.fresh else (), config)
    with isolated_seed(context.seed):
        found = weights_of("AutoModelForCausalLM", ref, config=config)
    require_weights(ref, found, context)
    network = found.network.to(context.device).eval()
    check_causal(network, ref.text)
    return TorchModel(network, tokenizer, CAUSAL)
