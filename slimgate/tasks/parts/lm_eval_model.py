"""slimgate's models as language models of lm-evaluation-harness, and documents as their inputs.

    lm = ArtifactLM(predictor, folder, batch_size=8, max_tokens=None)
    lm.loglikelihood(requests), lm.loglikelihood_rolling(requests), lm.generate_until(requests)

A PyTorch module is run as lm-evaluation-harness runs it. Another runtime gives logits, in one forward pass
per batch. It writes greedy answers if its predictor does, as that of llama.cpp does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from lm_eval.models.huggingface import HFLM
from torch import nn
from transformers import AutoConfig, PreTrainedConfig

from slimgate._system import quiet
from slimgate._system.json_text import read_json
from slimgate.errors import MeasureError, format_error
from slimgate.models.generate import can_write
from slimgate.models.saved_files import load_tokenizer
from slimgate.models.write_answers import SamplingParams, Writer
from slimgate.plugins.models import Predictor
from slimgate.plugins.rows import Rows
from slimgate.plugins.task import AnswerPlan
from slimgate.tasks.parts.encoding import EncodedTexts, make_right_padded_fields
from slimgate.tasks.parts.lm_eval_documents import ROLLING, Documents, score_documents

# The tokens that a model reads if its files do not say how many it can read, as in lm-evaluation-harness.
DEFAULT_TOKENS = 2048


def read_config(folder: Path) -> Any:
    """The config.json of an artifact; for a GGUF file that only llama.cpp reads, it has no architecture."""
    stated = read_json(folder / "config.json")
    if stated.get("model_type"):
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    return PreTrainedConfig(**stated)


class PredictedNetwork(nn.Module):
    """Wraps a runtime's predictor as the PyTorch module that lm-evaluation-harness expects."""

    def __init__(self, predictor: Predictor, config: PreTrainedConfig) -> None:
        super().__init__()
        self._predictor, self.config, self.device = predictor, config, torch.device("cpu")

    def forward(self, input_ids: torch.Tensor) -> Any:
        """logits: (rows, tokens, vocabulary) float32."""
        ids = input_ids.numpy()
        prepared = self._predictor.prepare({"input_ids": ids, "attention_mask": np.ones_like(ids)})
        scores = self._predictor.fetch(self._predictor.forward(prepared))
        return SimpleNamespace(logits=torch.from_numpy(scores))

    def write(
        self, context: torch.Tensor, mask: torch.Tensor, sampling: SamplingParams, *, padding: int
    ) -> torch.Tensor:
        """(rows, tokens) the context, followed by the answers, padded on the right.

        context: (rows, tokens), padded where mask is 0. Raises MeasureError if the runtime writes no text, or
        the temperature is above 0.
        """
        if not isinstance(self._predictor, Writer):
            raise MeasureError(
                "this runtime gives scores and writes no text; tasks of generate_until need a PyTorch model, "
                "or a runtime that writes, such as llama_cpp"
            )
        prompts = [ids[present].tolist() for ids, present in zip(context, mask.bool(), strict=True)]
        answers = self._predictor.write(prompts, sampling)
        written = torch.full((len(answers), max(map(len, answers))), padding)
        for row, ids in zip(written, answers, strict=True):
            row[: len(ids)] = torch.tensor(ids)
        return torch.cat([context, written], dim=1)

    def tie_weights(self) -> None:
        """Does nothing: there are no weights to tie."""


class ArtifactLM(HFLM):  # type: ignore[misc]  # lm_eval has no types
    """An artifact's model, which a predictor executes. max_tokens: None for as many as its config says."""

    def __init__(
        self, predictor: Predictor, folder: Path, *, batch_size: int, max_tokens: int | None
    ) -> None:
        network = getattr(predictor, "network", None)
        if not can_write(network) or not isinstance(network, nn.Module):
            network = PredictedNetwork(predictor, read_config(folder))
        tokenizer = load_tokenizer(folder)
        super().__init__(
            pretrained=network,
            backend="causal",
            tokenizer=tokenizer,
            batch_size=batch_size,
            max_length=max_tokens,
        )

    def _model_generate(
        self, context: torch.Tensor, max_length: int, stop: list[str], **options: Any
    ) -> torch.Tensor:
        if not isinstance(self.model, PredictedNetwork):
            return super()._model_generate(context, max_length, stop, **options)  # type: ignore[no-any-return]
        draws = options.get("do_sample") is not False
        temperature = float(options.get("temperature") or 0.0) if draws else 0.0
        sampling = SamplingParams(max_length - context.shape[1], temperature, stop=tuple(stop))
        return self.model.write(
            context, options["attention_mask"], sampling, padding=self.tokenizer.pad_token_id or 0
        )


@dataclass(frozen=True, eq=False)
class EncodedDocuments(EncodedTexts):
    """The first request of each document. ids: of the rows; folder: of the artifact."""

    ids: Sequence[str] = ()
    folder: Path = Path()

    def take(self, positions: Sequence[int]) -> Self:
        """Some of the rows, in that order."""
        return replace(super().take(positions), ids=[self.ids[i] for i in positions])


def make_document_encoder(
    documents: Documents, folder: Path, max_tokens: int | None
) -> Callable[[Rows], EncodedDocuments]:
    """Returns an encoder of each row's first request, cut on the left as in lm-evaluation-harness."""
    from lm_eval.models.utils import resolve_max_length

    tokenizer = load_tokenizer(folder)
    config = read_config(folder)
    limit = max_tokens or resolve_max_length(config, tokenizer, default=DEFAULT_TOKENS)

    def encode(rows: Rows) -> EncodedDocuments:
        texts = ["".join(map(_keep_text, documents.make_requests(row)[0].args)) for row in rows.ids]
        tokenized = tokenizer(texts, truncation=False, verbose=False)["input_ids"] if texts else []
        ids = [list(row)[-limit:] or [tokenizer.eos_token_id or 0] for row in tokenized]
        return EncodedDocuments(
            **make_right_padded_fields(ids, padding=tokenizer.pad_token_id or 0),
            ids=rows.ids,
            folder=folder,
        )

    return encode


def _keep_text(argument: object) -> str:
    return argument if isinstance(argument, str) else ""


def answer_documents(
    documents: Documents,
    predictor: Predictor,
    encoded: EncodedDocuments,
    plan: AnswerPlan,
    max_tokens: int | None,
) -> npt.NDArray[Any]:
    """(rows,) Answered. Raises MeasureError if lm-evaluation-harness cannot run a request."""
    order = range(len(encoded.ids)) if plan.order is None else plan.order.tolist()
    rows = [encoded.ids[position] for position in order]
    try:
        with quiet.silent():
            lm = ArtifactLM(predictor, encoded.folder, batch_size=plan.batch_size, max_tokens=max_tokens)
            scored = score_documents(documents, rows, lambda kind, requests: getattr(lm, kind)(requests))
    except AssertionError as error:  # how lm-evaluation-harness refuses a request
        raise MeasureError(f"lm-eval cannot run a request: {format_error(error)}") from error
    scores = np.empty(len(encoded.ids), dtype=object)
    for position, row in enumerate(encoded.ids):
        answered = scored[row]
        first = documents.make_requests(row)[0]
        if first.request_type == ROLLING:
            tokens = float(len(lm.tok_encode(first.args[0])))
            answered = replace(answered, values={**answered.values, "tokens": tokens})
        scores[position] = answered
    plan.progress("predict", len(rows), len(rows))
    return scores
