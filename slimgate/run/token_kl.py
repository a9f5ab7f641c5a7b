"""Measures the KL of a variant from its teacher at every gate token; stores the teacher's probabilities.

teacher_tokens/KEY/   the teacher's likeliest tokens at every place
token_kl/KEY/         a variant's KL there, so that another run computes neither
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from slimgate.errors import SlimgateError
from slimgate.judge.token_kl import TokenKl
from slimgate.models.predict import split_into_batches
from slimgate.plugins.base import Json
from slimgate.plugins.rows import Encoded
from slimgate.results.behaviour import FaultLocationFacts
from slimgate.run import keys
from slimgate.run.answering_model import AnsweringModel
from slimgate.run.model_handle import ModelHandle
from slimgate.run.run import SuiteRun
from slimgate.store.store import Entry

# Gate rows that both networks read; gate rows are in random order.
ROWS = 16


def locate_fault(teacher: ModelHandle, variant: ModelHandle) -> FaultLocationFacts:
    """The error of each block, and the worst one; only a note if the networks cannot be followed."""
    import torch

    from slimgate.models.block_errors import measure_block_errors
    from slimgate.models.module_outputs import UNKNOWN

    run = variant.run
    artifacts = [model.built.artifact for model in (teacher, variant)]
    if any(artifact.loader is None for artifact in artifacts):
        return FaultLocationFacts(note="its blocks are not known: only networks of PyTorch can be followed")
    encoded = run.encoder.encode_for(artifacts[0])
    rows = min(ROWS, len(encoded.lengths))
    try:
        teacher_model, variant_model = (artifact.load(run.device) for artifact in artifacts)
        inputs = {
            name: torch.from_numpy(values).to(run.device)
            for name, values in encoded.batch(range(rows)).items()
        }
        comparison = measure_block_errors(teacher_model.network, variant_model.network, inputs)
    except (SlimgateError, *UNKNOWN) as error:
        return FaultLocationFacts(note=f"its blocks are not known: {' '.join(str(error).split())}")
    return FaultLocationFacts(
        parts=list(comparison.parts),
        rows=rows,
        worst=comparison.worst.name,
        ratio=comparison.ratio,
        stands_out=comparison.stands_out,
    )


_FILE = "places.npz"


def measure_token_kl(teacher: ModelHandle, variant: ModelHandle) -> TokenKl | None:
    """The KL at every token; None if the two read different tokens or have different vocabularies."""
    run = variant.run
    teacher_rows, variant_rows = (_encode_rows(model) for model in (teacher, variant))
    teacher_ids, variant_ids = (encoded.columns["input_ids"] for encoded in (teacher_rows, variant_rows))
    if list(map(list, teacher_ids)) != list(map(list, variant_ids)):
        return None
    teacher_entry = _make_teacher_tokens(run, teacher, teacher_rows)
    entry = _make_variant_kl(run, variant, variant_rows, teacher_entry)
    if not entry.manifest["comparable"]:
        return None
    from slimgate.tasks.parts.next_token import count_places

    arrays = np.load(entry.folder / _FILE, allow_pickle=False)
    row_of = variant_rows.row_of  # of each window; None if each row is a window
    rows = np.arange(len(variant_rows.lengths)) if row_of is None else row_of
    return TokenKl(
        arrays["kl"],
        arrays["same_top"],
        np.repeat(rows, count_places(variant_rows)),
        teacher.outcomes.groups,
        rest=entry.manifest["rest"],
    )


def _encode_rows(model: ModelHandle) -> Any:
    return model.run.encoder.encode_for(model.built.artifact)


def _make_teacher_tokens(run: SuiteRun, teacher: ModelHandle, encoded: Encoded) -> Entry:
    def fill(folder: Path) -> Json:
        from slimgate.tasks.parts.next_token import find_top_tokens

        with run.watch.stage(f"{teacher.name} · next-token probabilities of {run.split} rows") as progress:
            tokens = find_top_tokens(teacher.predictor, encoded, _make_batches(run, encoded), progress)
        np.savez(folder / _FILE, ids=tokens.ids, log_p=tokens.log_p, rest=tokens.rest)
        return {"vocabulary": tokens.vocabulary, "rest": float(tokens.rest.mean())}

    return run.store.make("teacher_tokens", keys.make_teacher_tokens_key(_make_answers_key(teacher)), fill)


def _make_variant_kl(run: SuiteRun, variant: ModelHandle, encoded: Encoded, teacher_entry: Entry) -> Entry:
    def fill(folder: Path) -> Json:
        from slimgate.tasks.parts.next_token import TopTokens, compute_kl

        places = np.load(teacher_entry.folder / _FILE, allow_pickle=False)
        teacher = TopTokens(
            places["ids"], places["log_p"], places["rest"], teacher_entry.manifest["vocabulary"]
        )
        with run.watch.stage(f"{variant.name} · KL to the teacher on {run.split} rows") as progress:
            kl = compute_kl(teacher, variant.predictor, encoded, _make_batches(run, encoded), progress)
        if kl is not None:
            np.savez(folder / _FILE, kl=kl[0], same_top=kl[1])
        return {"comparable": kl is not None, "rest": teacher_entry.manifest["rest"]}

    key = keys.make_token_kl_key(teacher_entry.folder.name, _make_answers_key(variant))
    return run.store.make("token_kl", key, fill)


def _make_batches(run: SuiteRun, encoded: Encoded) -> Iterator[list[int]]:
    """Batches of the windows, the longest first, as for predicting the outcomes."""
    order = np.argsort(-encoded.lengths, kind="stable").tolist()
    return split_into_batches(
        encoded.lengths, order, run.suite.measure.batch_size, run.suite.measure.batch_tokens
    )


def _make_answers_key(model: ModelHandle) -> str:
    run = model.run
    answering = AnsweringModel(run.suite, run.rows, model.built.artifact, model.variant.runtime, run.device)
    return keys.make_answers_key(answering, run.split)
