"""A separate process in which llama.cpp loads a GGUF file and reads two tokens.

    python -P -m slimgate.models._gguf_check_worker FOLDER

reads FOLDER/request.json {"file", "embeddings"} and writes FOLDER/answer.json {"error"}: null, or the reason
for the failure. If one of llama.cpp's own checks fails, the process ends without an answer.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from slimgate._system.worker import end_with_parent
from slimgate.errors import SlimgateError
from slimgate.models.llama_cpp_context import ContextOptions, LlamaContext
from slimgate.models.llama_cpp_library import LlamaModel

REQUEST, ANSWER = "request.json", "answer.json"
USER = "runtime llama_cpp"
OPTIONS = ContextOptions(batch=256, micro_batch=256, kv_cache="f16", flash_attention="auto", threads=1)


def check(file: Path, *, embeddings: bool) -> str | None:
    """Why llama.cpp cannot run a file; None if it can. embeddings: whether it must give vectors."""
    try:
        model = LlamaModel(file, user=USER, check=True)
        context = LlamaContext(model, OPTIONS, rows=1, tokens=2, embeddings=embeddings)
        if embeddings:
            scores = context.embed([np.array([0, 1])])
        else:
            scores = context.read(np.array([[0, 1]]), position=0, outputs=np.array([[False, True]]))
    except SlimgateError as error:
        return str(error)
    return None if np.isfinite(scores).all() else f"{file.name} gives scores that are NaN or infinite"


def main(folder: Path) -> None:
    """Answers the request of a folder."""
    request = json.loads((folder / REQUEST).read_text("utf-8"))
    problem = check(Path(request["file"]), embeddings=request["embeddings"])
    (folder / ANSWER).write_text(json.dumps({"error": problem}), "utf-8")


if __name__ == "__main__":
    end_with_parent()
    main(Path(sys.argv[1]))
