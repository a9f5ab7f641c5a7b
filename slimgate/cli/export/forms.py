"""The forms in which a model is exported: each writes files into a folder, and compares them to the model.

write_form(artifact, "onnx", folder)

A graph is copied as it was judged. A PyTorch model becomes a graph, or a folder of transformers, and must
give the same answers there: on made-up token ids, within TOLERANCE standard deviations of its scores. Int8
layers sometimes round a difference in the last digit to another level, hence their larger tolerance.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from slimgate._system.requirements import describe_missing
from slimgate.errors import BuildError, DataError, MissingExtra, format_suggestion
from slimgate.models import saved_files
from slimgate.models.checkpoint import Checkpoint
from slimgate.models.graph import draw_example_batches
from slimgate.models.model_ref import TORCH
from slimgate.models.quantized_files import CHECKPOINT, SERVED
from slimgate.models.served import Served, copy_served, find_gguf_file, read_quant_method
from slimgate.plugins.loading import find_default_runtime, find_form, list_forms
from slimgate.plugins.runtime import Form, Runtime
from slimgate.runtimes.cascade import KIND as CASCADE
from slimgate.runtimes.cascade import read_cascade
from slimgate.steps.agreement import check_agreement, make_default_predictor, score_batches
from slimgate.store.store import Artifact
from slimgate.suite.named_plugin import Plugin, SuiteRuntime

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from slimgate.models.torch_model import TorchModel
    from slimgate.plugins.context import BuildContext

TOLERANCE, INTEGER_TOLERANCE = 0.01, 0.5
# The only form that is no graph: weights for a class of transformers.
TRANSFORMERS = "transformers"


@dataclass(frozen=True)
class Written:
    """The content of a form's folder. form: its name; auto: the class that loads a folder of transformers.

    pairs: a row has two texts, which are encoded separately; layout: for a folder that was judged unchanged,
    the format of its weights, such as gptq, and its GGUF file; prefix: tokens that every answer begins with;
    compared: how far the form's answers differ from the model's (max_difference, tolerance, …) on made-up
    token ids, empty for a copied graph; static: whether sentence-transformers also loads the folder;
    tokenizer_is_enough: whether the library tokenizers gives the right tokens with tokenizer.json alone;
    options: Params of the form's runtime that its lines set, None for the defaults.
    """

    form: str
    tokenizer: Any
    config: Any
    auto: str | None = None
    pairs: bool = False
    layout: str | None = None
    gguf: str | None = None
    prefix: tuple[str, ...] = ()
    compared: dict[str, Any] = field(default_factory=dict)
    static: bool = False
    tokenizer_is_enough: bool = False
    options: Any = None

    @property
    def runtime(self) -> SuiteRuntime:
        """The runtime that computes as the form's lines do, with the options that they set."""
        name, runtime = list_forms()[self.form]
        return Plugin(name, runtime, runtime.Params() if self.options is None else self.options)


@dataclass(frozen=True)
class _ExportContext:
    """Takes the place of a step's BuildContext, with only what a predictor and a comparison read of it."""

    scratch: Path
    device: str = "cpu"
    threads: int = 1
    log: dict[str, Any] = field(default_factory=dict)


def check_packages(artifact: Artifact, form: str | None, name: str) -> None:
    """Raises MissingExtra if the model has to become a graph whose packages are not installed.

    form: None for the default form. name: of the model, for the message. The model is not loaded yet. So
    without a form, a model of kind `torch` passes, because a class of transformers may hold it. `write_form`
    checks again when it knows the layers.
    """
    kinds = [artifact.kind]
    if artifact.kind == CASCADE:
        kinds = [member.kind for member in read_cascade(artifact.folder).members]
    for kind in kinds:
        runtime = find_default_runtime(kind)
        own_form = runtime[1].form if runtime else None
        if own_form is not None and own_form.name == TRANSFORMERS and kind not in (SERVED, CHECKPOINT):
            graphs = _list_graph_forms(kind)
            requested = form or (graphs[0] if graphs and kind != TORCH else TRANSFORMERS)
            if requested in graphs:
                _require_packages(requested, name)


def write_form(artifact: Artifact, form: str | None, folder: Path, scratch: Path) -> Written:
    """Writes the model's files. form: None for the form nearest to the judged one.

    Raises BuildError, in one line that says what to do, for a form that cannot hold the model; DataError for
    an unknown form.
    """
    if form is not None and form not in list_forms():
        raise DataError(f"--format {form}: no such format{format_suggestion(form, list_forms())}")
    runtime = find_default_runtime(artifact.kind)
    own_form = runtime[1].form if runtime else None
    if runtime is None or own_form is None:
        raise BuildError(
            f"its artifact is of kind {artifact.kind}, which only its own runtime can load; export the "
            "variant that it was made from"
        )
    if artifact.kind == saved_files.SPECULATIVE:
        raise BuildError(
            "its artifact also contains a draft model. Export the model and the draft separately; in "
            "transformers, call generate(…, assistant_model=draft)"
        )
    if artifact.kind in (SERVED, CHECKPOINT):
        return _copy_served(artifact.load("cpu"), form, folder)
    if own_form.name == TRANSFORMERS:
        return _export_torch_model(
            artifact.load("cpu"), form, folder, cast("BuildContext", _ExportContext(scratch))
        )
    return _copy_graph(artifact, runtime[1], own_form, form, folder)


def _copy_served(model: Served | Checkpoint, form: str | None, folder: Path) -> Written:
    """Copies the folder as it was judged; other forms cannot hold it."""
    if form not in (None, TRANSFORMERS):
        raise BuildError(
            f"its weights are in a layout for servers, which --format {form} cannot write; leave --format out"
        )
    copy_served(model.folder, folder)
    pad_(model.tokenizer)
    method = read_quant_method(model.folder)
    file = find_gguf_file(folder)
    return Written(
        TRANSFORMERS,
        model.tokenizer,
        model.config,
        auto=model.auto,
        layout=method or "plain",
        gguf=file.name if file else None,
    )


def _copy_graph(
    artifact: Artifact, runtime: Runtime[Any], own_form: Form, form: str | None, folder: Path
) -> Written:
    if form not in (None, own_form.name):
        raise BuildError(
            f"it was judged as a graph of {artifact.kind}, which --format {form} cannot write; leave "
            f"--format out, or use --format {own_form.name}"
        )
    if runtime.copy is not None:
        runtime.copy(artifact.folder, folder)
    for name in own_form.files:
        if (artifact.folder / name).exists():
            shutil.copyfile(artifact.folder / name, folder / name)
    other_files = saved_files.load_companions(artifact.folder)
    tokenizer, config = other_files["tokenizer"], other_files["config"]
    pad_(tokenizer)
    forced = saved_files.read_description(artifact.folder).get("forced", ())
    prefix = tuple(tokenizer.convert_ids_to_tokens(list(forced)))
    return Written(own_form.name, tokenizer, config, pairs=_count_texts(config) > 1, prefix=prefix)


def _count_texts(config: PreTrainedConfig) -> int:
    """How many texts a row of a sentence encoder has; 1 for other models."""
    return int((getattr(config, "sentence", None) or {}).get("texts", 1))


def _export_torch_model(model: TorchModel, form: str | None, folder: Path, context: BuildContext) -> Written:
    from slimgate.models.served import read_auto_class
    from slimgate.models.static_encoder import compute_weighted_rows, save_static_modules

    form = _choose_torch_form(model, form)
    pad_(model.tokenizer)
    if getattr(model.config, "sentence", None):  # one text per row, although the task's rows have two
        model.config.sentence = {**model.config.sentence, "texts": 1}
    batches = draw_example_batches(model.tokenizer, model.config)
    before = score_batches(make_default_predictor(model, context), batches)
    written, tolerance = _write_network(list_forms()[form][1], model, batches, folder)
    check_agreement(
        before,
        score_batches(make_default_predictor(written, context), batches),
        batches,
        context,
        tolerance=tolerance,
    )
    # The file of its tokenizer is that of a fast tokenizer.
    rows = compute_weighted_rows(model.network) if model.tokenizer.is_fast else None
    if rows is not None:
        save_static_modules(rows, model.tokenizer, folder)
    return Written(
        form,
        model.tokenizer,
        model.config,
        auto=read_auto_class(model) if form == TRANSFORMERS else None,
        compared=context.log,
        static=rows is not None,
    )


def _choose_torch_form(model: TorchModel, form: str | None) -> str:
    """The form that was asked for, or the default. Raises BuildError if the model cannot have it.

    Raises MissingExtra if a package for the form is missing.
    """
    from slimgate.models.served import find_stock_difference

    if hasattr(model.network, "load_tokenizer"):
        raise BuildError(
            f"{type(model.network).__name__} has inputs other than text, which cannot be exported"
        )
    custom_module = find_stock_difference(model) if form in (None, TRANSFORMERS) else None
    graphs = _list_graph_forms(model.kind)
    if form == TRANSFORMERS and custom_module:
        other = ", or ".join(f"--format {name}" for name in graphs)
        raise BuildError(f"no transformers class can load it ({custom_module}); use {other}")
    form = form or (graphs[0] if custom_module else TRANSFORMERS)
    if form not in (TRANSFORMERS, *graphs):
        raise BuildError(
            f"its layers are of kind {model.kind}, which --format {form} cannot write; use "
            f"{', or '.join(f'--format {name}' for name in graphs)}"
        )
    if form in graphs:
        _require_packages(form, "it")
    return form


def pad_(tokenizer: PreTrainedTokenizerBase) -> None:
    """Gives a tokenizer without a padding token one. The attention mask hides the padding from the model."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)


def _list_graph_forms(kind: str) -> list[str]:
    """The forms that a PyTorch model of this kind can be exported to, the first by default."""
    return [
        name
        for name, (_, runtime) in list_forms().items()
        if runtime.export and runtime.form and kind in runtime.form.takes
    ]


def _require_packages(form: str, name: str) -> None:
    """Raises MissingExtra that says what a form needs. name: of the model."""
    if missing := describe_missing(f"writing {name} as {form}", find_form(form).needs):
        raise MissingExtra(missing)


def _write_network(runtime: Runtime[Any], model: Any, batches: Any, folder: Path) -> tuple[Any, float]:
    """Writes the model; returns it, and the tolerance of its answers."""
    if runtime.export is None:
        from slimgate.models.served import save_stock

        return replace(model, network=save_stock(model, folder)), TOLERANCE
    from slimgate.steps.layers.int8_in_graph import use_integer_operators_

    integers = use_integer_operators_(model.network)
    return runtime.export(model, batches, folder), INTEGER_TOLERANCE if integers else TOLERANCE
