"""PyTorch without compilation: runs the artifacts of PyTorch modules."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from slimgate.errors import BuildError
from slimgate.models.quantized_files import CHECKPOINT, SERVED
from slimgate.models.saved_files import COPIED, SPECULATIVE, read_description
from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import NEW_TOKENS, Macs
from slimgate.plugins.params import Table
from slimgate.plugins.runtime import Form, Runtime

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import Cache

    from slimgate.models.served import Served
    from slimgate.models.speculative import Draft, SpeculativeAnswer
    from slimgate.models.torch_model import TorchModel

# A token is a near tie if its score is closer to the expected one's than this share of the scores' size.
NEAR_TIE = 0.01
Finished = TypeVar("Finished")


class Params(Table):
    """runtime = { name = "eager", cache = "static" }"""

    cache: Literal["dynamic", "static"] = "dynamic"
    """Key-value cache of timed answers (workloads with new_tokens): "dynamic" grows with each token, "static"
    has room for the whole answer from the start."""


class EagerPredictor:
    """Wraps a network in evaluation mode as a Predictor. draft: the model that proposes tokens to it."""

    def __init__(
        self, network: nn.Module, device: str, *, static_cache: bool = False, draft: Draft | None = None
    ) -> None:
        import torch

        self.network: Any = network
        self.draft = draft
        self._device = torch.device(device)
        self._static = static_cache
        self._caches: Any = None  # of a static cache, when first needed
        self._checked: set[tuple[int, ...]] = set()

    def prepare(self, batch: Arrays) -> dict[str, torch.Tensor]:
        """Arrays as tensors on the device.

        An answer with a static cache or a draft is compared with that of a growing cache without a draft,
        once for each shape. Raises BuildError if they differ.
        """
        import torch

        prepared = {name: torch.from_numpy(values).to(self._device) for name, values in batch.items()}
        if NEW_TOKENS in prepared and (self._static or self.draft):
            self._check_answer(prepared)
        return prepared

    def _check_answer(self, prepared: dict[str, torch.Tensor]) -> None:
        from slimgate.models.greedy import check_answers

        shape = (*prepared["input_ids"].shape, int(prepared[NEW_TOKENS]))
        if shape not in self._checked:
            written = self.decode(self.prefill(prepared))
            user = f"{type(self).__name__} with a {'draft' if self.draft else 'static cache'}"
            check_answers(self.network, prepared["input_ids"], written, user, tolerance=NEAR_TIE)
            self._checked.add(shape)

    def forward(self, prepared: dict[str, torch.Tensor]) -> torch.Tensor:
        """Logits of one batch, or tokens that it writes; on a GPU, finished when it returns."""
        import torch

        with torch.inference_mode():
            output = self._write(**prepared) if NEW_TOKENS in prepared else self.network(**prepared).logits
        return self._finish(output)

    def _write(self, *, new_tokens: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
        from slimgate.models.write_answers import is_encoder_decoder, write_tokens

        if is_encoder_decoder(self.network):
            return write_tokens(self.network, **inputs, count=int(new_tokens))
        return self.decode(self.prefill({**inputs, NEW_TOKENS: new_tokens}))

    def prefill(self, prepared: dict[str, torch.Tensor]) -> Any:
        """The answer after its first token: a BegunAnswer; with a draft a SpeculativeAnswer for each row."""
        from slimgate.models.greedy import begin_answer

        count = int(prepared[NEW_TOKENS])
        if self.draft is not None:
            answers = [self.begin_with_draft(row, count) for row in prepared["input_ids"].tolist()]
            for answer in answers:
                answer.begin()
            return self._finish(answers)
        cache = self._make_empty_cache(prepared["input_ids"], count)
        return self._finish(begin_answer(self.network, prepared["input_ids"], count, cache))

    def begin_with_draft(
        self, prompt: Sequence[int], count: int, ends: Collection[int] = ()
    ) -> SpeculativeAnswer:
        """An answer of `count` tokens, of which none is written. ends: tokens that end an answer."""
        from slimgate.models.speculative import make_network_answer

        assert self.draft is not None
        return make_network_answer(self.network, self.draft, prompt, count, ends)

    def _make_empty_cache(self, input_ids: torch.Tensor, count: int) -> Cache:
        from slimgate.models.greedy import StaticCaches, make_cache

        if not self._static:
            return make_cache(self.network)
        if self._caches is None:
            self._caches = StaticCaches(self.network)
        return self._caches.make_empty(len(input_ids), input_ids.shape[1] + count)

    def decode(self, state: Any) -> torch.Tensor:
        """(rows, new tokens) ids."""
        import torch

        from slimgate.models.greedy import finish_answer

        if not isinstance(state, list):
            return self._finish(finish_answer(self.network, state))
        for answer in state:
            while answer.remaining:
                answer.extend()
        return self._finish(torch.tensor([answer.written for answer in state], device=self._device))

    def cache_bytes(self, state: Any) -> int:
        """Bytes of the keys and values, including a draft's."""
        from slimgate.models.greedy import count_cache_bytes

        if not isinstance(state, list):
            return count_cache_bytes(state.cache)
        texts = [text for answer in state for text in (answer.main, answer.draft)]
        return sum(count_cache_bytes(text.cache) for text in texts)

    def _finish(self, output: Finished) -> Finished:
        """The output when a GPU has computed it."""
        import torch

        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return output

    def fetch(self, output: torch.Tensor) -> npt.NDArray[np.float32]:
        """Logits as float32 on the host."""
        return np.asarray(output.float().cpu().numpy(), dtype=np.float32)

    def close(self) -> None:
        """Drops the networks."""
        self.network = self.draft = self._caches = None


class Eager(Runtime[Params]):
    kinds = frozenset({"torch", "torch_quantized", SPECULATIVE, SERVED, CHECKPOINT})
    obeys_onednn = True
    formats = frozenset({"bitsandbytes", "torchao"})  # their kernels compute on a CPU too
    unpacks = True
    default_for = kinds
    any_processor = frozenset({"torch"})
    counts_macs = True
    times_writing = True
    form = Form(
        name="transformers",
        package="torch",
        imports="import torch\nfrom transformers import AutoConfig, {auto}, AutoTokenizer\n",
        load='model = {auto}.from_pretrained(".").eval()',
        predict='batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")\n'
        "with torch.inference_mode():\n"
        "    scores = model(**batch).logits.float().numpy()",
        takes=frozenset({"torch", "torch_quantized"}),
    )

    def load(self, folder: Path, params: Params, *, device: str, threads: int) -> EagerPredictor:
        """The artifact's network, on `threads` threads. Raises BuildError for a draft with a static cache."""
        import torch

        from slimgate.models.speculative import find_draft

        torch.set_num_threads(threads)
        model, is_static = self.load_model(folder, device), params.cache == "static"
        draft = find_draft(model)
        if draft is not None and is_static:
            raise BuildError(
                'runtime eager: cache = "static" was given, but rejected draft tokens must leave the '
                'cache; use cache = "dynamic"'
            )
        return EagerPredictor(model.network, device, static_cache=is_static, draft=draft)

    def load_model(self, folder: Path, device: str) -> TorchModel | Served:
        """The TorchModel of an artifact, or the Served."""
        description = read_description(folder)
        if COPIED in description:
            from slimgate.models.checkpoint import load_checkpoint

            return load_checkpoint(folder, device=device)
        from slimgate.models.served import load_served
        from slimgate.models.speculative import NOTE, load_speculative
        from slimgate.models.torch_model import load_torch_model

        if description.get("kind") == SERVED:
            return load_served(folder, device)
        if NOTE in description:  # it has a draft model
            return load_speculative(folder, device=device)
        return load_torch_model(folder, device=device)

    def count_macs(self, folder: Path, batch: Arrays, *, device: str) -> Macs:
        """Counts the operations of one call of the network."""
        import torch

        from slimgate.models.torch_macs import count_macs

        inputs = {name: torch.from_numpy(values).to(device) for name, values in batch.items()}
        return count_macs(self.load_model(folder, device).network, inputs)

    def open_model(self, model: TorchModel, context: BuildContext) -> EagerPredictor:
        """The network of a TorchModel that a step has made."""
        from slimgate.models.speculative import find_draft

        return EagerPredictor(model.network.eval(), context.device, draft=find_draft(model))


runtime = Eager()
