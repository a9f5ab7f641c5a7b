"""A separate process in which llama.cpp loads a GGUF file and reads two tokens.

    python -P -m slimgate.models._gguf_check_worker FOLDER

reads FOLDER/request.json {"file", "embeddings"} and writes FOLDER/answer.json, with the reason as "error" if
that fails. If one of llama.cpp's own checks fails, the process ends without an answer.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from slimgate._system.worker import answer_request
from slimgate.errors import BuildError
from slimgate.models.llama_cpp_context import ContextOptions, LlamaContext
from slimgate.models.llama_cpp_library import LlamaModel
from slimgate.plugins.base import Json

USER = "runtime llama_cpp"
OPTIONS = ContextOptions(batch=256, micro_batch=256, kv_cache="f16", flash_attention="auto", threads=1)


def check(_folder: Path, request: Json) -> None:
    """Raises BuildError if llama.cpp cannot run the file of a request."""
    file, embeddings = Path(request["file"]), request["embeddings"]
    model = LlamaModel(file, user=USER, check=True)
    context = LlamaContext(model, OPTIONS, rows=1, tokens=2, embeddings=embeddings)
    if embeddings:
        scores = context.embed([np.array([0, 1])])
    else:
        scores = context.read(np.array([[0, 1]]), position=0, outputs=np.array([[False, True]]))
    if not np.isfinite(scores).all():
        raise BuildError(f"{file.name} gives scores that are NaN or infinite")


if __name__ == "__main__":
    answer_request(check)
