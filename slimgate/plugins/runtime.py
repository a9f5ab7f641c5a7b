"""The base class of runtimes: what executes an artifact."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimgate.errors import BuildError, MeasureError
from slimgate.plugins.base import Arrays, P, WithParams
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import Macs, Predictor


@dataclass(frozen=True)
class Form:
    """The folder that `slimgate export` writes for a runtime's library, and how a program uses it.

    name: of --format, and the hub's library_name; of a graph also the kind of its artifacts. package: what
    pip installs. imports, load, predict: lines of Python: `model` or a session from the folder ".", then
    `scores` of `texts` by `tokenizer`, as an array; {auto} is transformers' Auto class, {prefix} an argument
    with the tokens that every answer begins with. tail: lines that print, in place of the task's own.
    own_config: config.json is the library's, so that transformers' is not written.
    files: of a graph, that of the first name tells the kind of a folder; optional: those that may be missing.
    takes: the kinds of PyTorch model that `Runtime.export` makes it of; needs: the packages that this takes.
    of_decoders: the lines for a model without an encoder, where they differ.
    """

    name: str
    package: str
    imports: str
    load: str
    predict: str
    tail: str = ""
    own_config: bool = False
    files: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ()
    of_decoders: Form | None = None


class Runtime(WithParams[P]):
    """What executes artifacts of the kinds that it names.

    formats: of the kinds "served" and "quantized_checkpoint", the formats of weights that it computes as they
    are: `gguf`, or a quant_method of transformers; unpacks: whether it executes all others too, unpacked to
    floating point, so that their times are not measured.
    default_for: the kinds that it executes where the suite names no runtime; packages: those whose versions
    its answers depend on; requires: versions above slimgate's own floors, as of a Step; any_processor: the
    kinds whose answers are the same on every processor, but for the rounding of float32. The answers of all
    other kinds are stored for the processor that computed them.
    load_model(folder, device): the model of a kind in default_for, for a step to start from; None: no step
    can. form: how `slimgate export` writes it; None: it is refused. export(model, batches, folder): writes
    that form of a TorchModel, and gives the model that was written; batches: two
    examples of its inputs, of unlike shapes. copy(artifact, folder): writes that form of an artifact's
    folder; None: the form's files are copied. counts_macs: whether it has a `count_macs` of its own.
    times_writing: whether its predictors are TimedWriters, so that workloads with new_tokens can be timed.
    """

    kinds: frozenset[str]
    formats: frozenset[str] = frozenset()
    unpacks: bool = False
    default_for: frozenset[str] = frozenset()
    packages: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    any_processor: frozenset[str] = frozenset()
    counts_macs: bool = False
    times_writing: bool = False
    form: Form | None = None
    load_model: Callable[[Path, str], Any] | None = None
    export: Callable[[Any, tuple[Arrays, Arrays], Path], Any] | None = None
    copy: Callable[[Path, Path], None] | None = None

    def check_rows(self, folder: Path, texts: Sequence[str]) -> None:
        """Raises MeasureError where it would read a text as other tokens than the folder's tokenizer gives.

        texts: of the rows whose answers are predicted next.
        """

    @abstractmethod
    def load(self, folder: Path, params: P, *, device: str, threads: int) -> Predictor:
        """The artifact of that folder, ready to predict. Raises BuildError or MissingExtra."""

    def count_macs(self, folder: Path, batch: Arrays, *, device: str) -> Macs:
        """Multiply-adds of the matrix products, convolutions and attention of one call.

        Raises MeasureError if they are not known.
        """
        raise MeasureError(f"what the programs of runtime {type(self).__name__} compute is not counted")

    def open_model(self, model: Any, context: BuildContext) -> Predictor:
        """A model of a kind in default_for that a step has made, ready to predict."""
        raise BuildError(f"{type(self).__name__} predicts from files only")
