"""Networks of transformers' folders: in float32, quietly, never by a pickle."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from slimgate.errors import BuildError
from slimgate.models.fresh import fresh_network
from slimgate.models.saved_weights import describe_names
from slimgate.protocols import BuildContext, ModelRef

# It stands behind the encoder, and most heads do without.
POOLER = "pooler"


@dataclass(frozen=True)
class Weights:
    """A network in float32, and how it fits its files.

    missing: names of its weights that the files do not hold (in that shape); unused: names in the files for
    which it has no place.
    """

    network: Any
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def in_encoder(self, names: list[str]) -> list[str]:
        """Those that belong to the transformer itself: neither to a head nor to its pooler."""
        prefix = f"{self.network.base_model_prefix}."
        parts = {name for name, _ in self.network.base_model.named_children()} - {POOLER}
        return [name for name in names if name.removeprefix(prefix).partition(".")[0] in parts]


def require_weights(ref: ModelRef, found: Weights, context: BuildContext, *, new_head: bool = False) -> None:
    """Raises BuildError where the files do not hold the model that is to be judged.

    new_head: the task makes one, so that all but the encoder's weights may be missing. A variant
    (ref.new_head is not None) must use what its files hold; of a teacher, what is unused becomes a warning.
    """
    missing = found.in_encoder(found.missing) if new_head else found.missing
    if missing:
        raise BuildError(
            f"{ref.text}: its files lack {describe_names(missing)} of the weights that its config.json asks "
            "for; save the whole model again, or name the folder that holds it"
        )
    if ref.new_head is None:
        if unused := found.in_encoder(found.unused):
            context.log["warning"] = f"its files hold weights that are not used: {describe_names(unused)}"
        return
    unused = found.in_encoder(found.unused) if ref.new_head else _without_pooler(found.unused)
    if unused:
        raise BuildError(
            f"{ref.text}: {type(found.network).__name__} has no place for {describe_names(unused)} of the "
            "weights in its files, so another model would be judged than the one that they hold; correct its "
            "config.json, or save the model again"
            + ("" if found.in_encoder(unused) else "; say new_head = true if this head may be left out")
        )


def _without_pooler(names: list[str]) -> list[str]:
    """Checkpoints of RoBERTa and others hold a pooler, which their models with a head do not have."""
    return [name for name in names if POOLER not in name.split(".")]


def weights_of(auto: str, ref: ModelRef, **options: Any) -> Weights:
    """The network of a reference, and which weights its files lack or hold besides.

    options: of from_pretrained; of a fresh model, `config` is needed, and nothing is missing.
    """
    import torch
    import transformers

    if ref.fresh:
        return Weights(fresh_network(auto, ref, options["config"]))

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
    return Weights(network, sorted({*info["missing_keys"], *mismatched}), sorted(info["unexpected_keys"]))


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
