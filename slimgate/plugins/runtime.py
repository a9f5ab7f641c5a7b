"""The base class of runtimes, which execute artifacts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgate.errors import BuildError, MeasureError
from slimgate.plugins.base import Arrays, P, WithParams
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import Macs, Predictor

if TYPE_CHECKING:
    from pydantic import BaseModel

    from slimgate.models.torch_model import TorchModel
    from slimgate.plugins.models import Model


# In the lines of a Form: the lines that make the inputs of texts.
BATCH = "{batch}"


@dataclass(frozen=True)
class Form:
    """The folder that `slimgate export` writes for a runtime's library, and how a program uses it.

    name: the value of --format, and library_name on the hub. For a graph also the kind of its artifacts.
    package: what pip installs.
    imports, load, predict: lines of Python for the card of the export. `load` opens the folder ".". It is a
        function of the runtime's Params if options change the answers. `predict` computes `scores`, an array,
        from `texts` and `tokenizer`. {auto} becomes transformers' Auto class, {prefix} an argument
        with the tokens that every answer begins with. {batch} becomes lines that make `batch`, the model's
        inputs as NumPy arrays by their names. Then `imports` leaves out the tokenizer's import, and the card
        may use the library tokenizers in the place of transformers.
    options: the names of the options that `load` sets.
    tail: lines that print the result, if they are not those of the task.
    own_config: the library has its own config.json, so that of transformers is not written.
    files: the files of a graph. A folder with the first of them is a graph of this kind.
    optional: the files that may be missing.
    takes: the kinds of PyTorch model that `Runtime.export` accepts. needs: the packages that it imports.
    of_decoders: another form for models without an encoder, if their lines differ.
    """

    name: str
    package: str
    imports: str
    load: str | Callable[[Any], str]
    predict: str
    options: tuple[str, ...] = ()
    tail: str = ""
    own_config: bool = False
    files: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ()
    of_decoders: Form | None = None

    def load_lines(self, params: BaseModel) -> str:
        """The lines that open the folder. params: the options of the runtime."""
        return self.load if isinstance(self.load, str) else self.load(params)


class Runtime(WithParams[P]):
    """Executes artifacts.

    kinds: the kinds of artifact that it executes.
    formats: the formats of quantized weights that it computes without unpacking them: "gguf", or a
        quant_method of transformers. Only for the kinds "served" and "quantized_checkpoint";
        `models/quantized_files.py` has all formats.
    unpacks: whether it executes weights of other formats too, unpacked to floating point. Their times are not
        measured.
    default_for: the kinds that it executes if the suite names no runtime.
    packages: its answers depend on the versions of these packages.
    requires: minimum versions of packages above those of slimgate, as in a Step.
    any_processor: the kinds with the same answers on every processor, up to the rounding of float32. The
        store keeps the answers of other kinds for each processor.
    obeys_onednn: whether the environment variable ONEDNN_MAX_CPU_ISA limits the instructions of all its
        arithmetic, so that `slimgate portability` can compute the answers of another processor.
    counts_macs: whether it overrides `count_macs`.
    times_writing: whether its predictors are TimedWriters, so that workloads with new_tokens can be timed.
    form: the form in which `slimgate export` writes its models; None: it cannot be exported.
    load_model(folder, device): loads a model of a kind in default_for, so that steps can start from it; None:
        no step can, and a folder that a suite names is judged as it is.
    export(model, batches, folder): writes a TorchModel in the form, and returns the written model. batches:
        two examples of inputs with different shapes.
    copy(artifact, folder): writes an artifact in the form; None: the files of the form are copied.
    """

    kinds: frozenset[str]
    formats: frozenset[str] = frozenset()
    unpacks: bool = False
    default_for: frozenset[str] = frozenset()
    packages: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    any_processor: frozenset[str] = frozenset()
    obeys_onednn: bool = False
    counts_macs: bool = False
    times_writing: bool = False
    form: Form | None = None
    load_model: Callable[[Path, str], Model] | None = None
    export: Callable[[TorchModel, tuple[Arrays, Arrays], Path], Model] | None = None
    copy: Callable[[Path, Path], None] | None = None

    def check_rows(self, folder: Path, texts: Sequence[str]) -> None:
        """Checks that the runtime splits texts into the same tokens as the folder's tokenizer.

        slimgate calls it before it loads an artifact to predict rows. The default accepts all texts. Override
        it if the runtime tokenises by itself.

        Args:
            folder: the artifact's folder.
            texts: the texts of the rows, column by column.

        Raises:
            MeasureError: if a text becomes other tokens.
        """

    @abstractmethod
    def load(self, folder: Path, params: P, *, device: str, threads: int) -> Predictor:
        """Loads the artifact of a folder, ready to predict.

        Args:
            folder: the artifact's folder.
            params: the options of the runtime, checked.
            device: the device to compute on, such as "cpu" or "cuda:0".
            threads: how many threads to compute with.

        Returns:
            A predictor of the artifact. slimgate closes it.

        Raises:
            BuildError: if the artifact cannot be loaded.
            MissingExtra: if a package is missing.
        """

    def count_macs(self, folder: Path, batch: Arrays, *, device: str) -> Macs:
        """Counts the multiply-adds of the matrix products, convolutions and attention of one call.

        slimgate calls it once for each artifact, and stores the count. An error becomes a note in the record.
        Only a runtime with `counts_macs` can have a budget on flops. The default raises.

        Args:
            folder: the artifact's folder.
            batch: the inputs of one row with the teacher's median length: name -> array.
            device: the device of the run, such as "cpu" or "cuda:0".

        Returns:
            The multiply-adds by the number type of their factors.

        Raises:
            MeasureError: if they are not known.
        """
        raise MeasureError(f"cannot count the multiply-adds of runtime {type(self).__name__}")

    def open_model(self, model: Any, context: BuildContext) -> Predictor:
        """Opens a model that is still in memory, ready to predict.

        Steps that convert a model call it to compare the answers before and after. slimgate also calls it to
        check a graph that a suite names. The default raises. Override it if `default_for` is not empty.

        Args:
            model: a model of a kind in `default_for`.
            context: gives the device, the threads and a scratch folder.

        Returns:
            A predictor of the model.

        Raises:
            BuildError: if the model cannot be opened.
        """
        raise BuildError(f"{type(self).__name__} predicts from files only")
