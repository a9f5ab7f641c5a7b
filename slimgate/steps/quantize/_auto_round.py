"""AutoRound in a process of its own: what it is given, and the folder that it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate._system.worker import run_worker
from slimgate.errors import BuildError
from slimgate.models.llm_packages import require_package
from slimgate.models.stock import save_plain
from slimgate.plugins.context import BuildContext
from slimgate.steps.quantize import _auto_round_worker as worker

LIMIT_SECONDS = 7 * 24 * 3600.0
CAUSAL = "AutoModelForCausalLM"
Json = dict[str, Any]


def round_apart(model: Any, request: Json, rows: int, context: BuildContext) -> Path:
    """The written folder. request: as Params.request has it. Raises BuildError, MissingExtra."""
    require_package("auto_round", "auto_round")
    auto = model.architecture.partition(":")[2]
    if auto != CAUSAL:
        raise BuildError(
            f"auto_round rounds causal language models ({CAUSAL}), and this is {auto or model.architecture}; "
            "compressed_tensors takes others too"
        )
    folder = context.scratch / "auto_round"
    folder.mkdir()
    save_plain(model, folder / worker.MODEL)
    sequences = calibration_sequences(model.tokenizer, context, rows)
    np.save(folder / worker.SEQUENCES, sequences)
    context.log.update(calibration_sequences=len(sequences), sequence_tokens=int(sequences.shape[1]))
    more = {"device": context.device, "threads": context.threads, "seed": context.seed}
    (folder / worker.REQUEST).write_text(json.dumps({**request, **more}), "utf-8")
    ended = run_worker(worker.__name__, folder, limit=LIMIT_SECONDS)
    if ended.code != 0:
        raise BuildError(f"auto_round failed: {ended.message}")
    answer = json.loads((folder / worker.ANSWER).read_text("utf-8"))
    context.log.update(answer)
    return folder / worker.WRITTEN


def calibration_sequences(tokenizer: Any, context: BuildContext, max_tokens: int) -> npt.NDArray[np.int64]:
    """The calibration rows' tokens one after the other, cut to the task's windows: (sequences, tokens).

    What is left over at the end is left out; of fewer tokens than a window there is one sequence.
    """
    encoded = context.task.encode_rows(context.task_params, context.rows("calibration"), tokenizer)
    ids: list[int] = []
    for place, length in enumerate(encoded.lengths.tolist()):
        ids.extend(encoded.batch([place])["input_ids"][0][:length].tolist())
    width = min(int(context.task_params.max_tokens), len(ids))
    count = min(len(ids) // width, max_tokens)
    return np.asarray(ids[: count * width], dtype=np.int64).reshape(count, width)
