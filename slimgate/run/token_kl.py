"""KL of a variant from its teacher at every gate token; the teacher's probabilities are stored once.

teacher_tokens/KEY/   the teacher's likeliest tokens at every place
token_kl/KEY/         a variant's KL there, so that another run computes neither
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from slimgate.judge.token_kl import TokenKl
from slimgate.models.predict import batches
from slimgate.protocols import Encoded
from slimgate.run import keys
from slimgate.run.run import ModelHandle, SuiteRun
from slimgate.store.store import Entry, Json

_FILE = "places.npz"


def token_kl(teacher: ModelHandle, variant: ModelHandle) -> TokenKl | None:
    """None where the two do not read the same tokens, or score other vocabularies."""
    run = variant.run
    theirs, ours = (_encoded(one) for one in (teacher, variant))
    if list(map(list, theirs.columns["input_ids"])) != list(map(list, ours.columns["input_ids"])):
        return None
    kept = _teacher_tokens(run, teacher, theirs)
    entry = _variant_kl(run, variant, ours, kept)
    if not entry.manifest["comparable"]:
        return None
    from slimgate.tasks.parts.next_token import place_counts

    found = np.load(entry.folder / _FILE, allow_pickle=False)
    rows = np.arange(len(ours.lengths)) if ours.row_of is None else ours.row_of
    return TokenKl(
        found["kl"],
        found["same_top"],
        np.repeat(rows, place_counts(ours)),
        teacher.outcomes.groups,
        rest=entry.manifest["rest"],
    )


def _encoded(model: ModelHandle) -> Any:
    return model.run.encoder.of(model.built.artifact)


def _teacher_tokens(run: SuiteRun, teacher: ModelHandle, encoded: Encoded) -> Entry:
    def fill(folder: Path) -> Json:
        from slimgate.tasks.parts.next_token import top_tokens

        with run.watch.stage(f"{teacher.name} · next-token probabilities of {run.split} rows"):
            found = top_tokens(teacher.predictor, encoded, _batches(run, encoded))
        np.savez(folder / _FILE, ids=found.ids, log_p=found.log_p, rest=found.rest)
        return {"vocabulary": found.vocabulary, "rest": float(found.rest.mean())}

    return run.store.make("teacher_tokens", keys.teacher_tokens_key(_answers_key(teacher)), fill)


def _variant_kl(run: SuiteRun, variant: ModelHandle, encoded: Encoded, kept: Entry) -> Entry:
    def fill(folder: Path) -> Json:
        from slimgate.tasks.parts.next_token import TopTokens, kl_from

        places = np.load(kept.folder / _FILE, allow_pickle=False)
        teacher = TopTokens(places["ids"], places["log_p"], places["rest"], kept.manifest["vocabulary"])
        with run.watch.stage(f"{variant.name} · KL to the teacher on {run.split} rows"):
            found = kl_from(teacher, variant.predictor, encoded, _batches(run, encoded))
        if found is not None:
            np.savez(folder / _FILE, kl=found[0], same_top=found[1])
        return {"comparable": found is not None, "rest": kept.manifest["rest"]}

    key = keys.token_kl_key(kept.folder.name, _answers_key(variant))
    return run.store.make("token_kl", key, fill)


def _batches(run: SuiteRun, encoded: Encoded) -> Iterator[list[int]]:
    """The windows, the longest first, as they are predicted for the outcomes."""
    order = np.argsort(-encoded.lengths, kind="stable").tolist()
    return batches(encoded.lengths, order, run.suite.measure.batch_size, run.suite.measure.batch_tokens)


def _answers_key(model: ModelHandle) -> str:
    run = model.run
    return keys.answers_key(
        run.suite, run.rows, model.built.artifact, model.variant.runtime, run.split, run.device
    )
