"""Networks of transformers' folders: in float32, quietly, never by a pickle."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from slimgate.errors import BuildError
from slimgate.fresh import fresh_network
from slimgate.protocols import ModelRef


def pretrained(auto: str, ref: ModelRef, **options: Any) -> tuple[Any, list[str]]:
    """The network in float32, and the names of the weights that the folder does not hold (in that shape).

    options: of from_pretrained; of a fresh model, `config` is needed, and nothing is missing.
    """
    import torch
    import transformers

    if ref.fresh:
        return fresh_network(auto, ref, options["config"]), []

    try:
        with _quiet(), numbers_alone(ref.text):
            network, info = getattr(transformers, auto).from_pretrained(
                ref.folder,
                dtype=torch.float32,
                weights_only=True,
                trust_remote_code=False,
                output_loading_info=True,
                **options,
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise BuildError(f"{ref.text}: transformers cannot load it as {auto}: {said}") from error
    mismatched = [name for name, *_ in info["mismatched_keys"]]  # where they may be ignored, else an error
    return network, sorted({*info["missing_keys"], *mismatched})


@contextmanager
def numbers_alone(text: str) -> Iterator[None]:
    """Where torch reads a .bin, by weights_only. Raises BuildError where it holds anything else."""
    try:
        yield
    except pickle.UnpicklingError as error:  # torch's own words advise to load it all the same
        raise BuildError(
            f"{text}: its .bin holds more than numbers, and loading that could run code: it is not loaded; "
            "where you trust it, save the model as safetensors yourself"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars and load report: what counts goes into the log or an error."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
