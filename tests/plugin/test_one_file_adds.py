"""One new file adds a runtime with a kind of artifact of its own: nothing else knows of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.added_package import add_package
from support.tiny_suite import make_tiny_run

from slimgate.cli.export.forms import write_form
from slimgate.cli.export.row_check import check_rows
from slimgate.cli.export.snippets import make_snippet
from slimgate.cli.export.stored import GateRows
from slimgate.errors import BuildError, DataError
from slimgate.models.model_ref import parse_model_ref
from slimgate.plugins import loading
from slimgate.run.environment import describe_machine
from slimgate.run.run import SuiteRun
from slimgate.store.store import Artifact, Entry

CODE = '''
"""Weights in a file of another name: a runtime, its model, and the step that makes one."""

from slimgate import Form, Graph, Runtime, Step, Table, load_companions

FILE = "model.flat"


class Params(Table):
    pass


class FlatModel(Graph):
    kind = "flat"

    def __init__(self, network, tokenizer, config):
        self.network, self.tokenizer, self.config = network, tokenizer, config

    def measure_size(self):
        count = sum(weight.numel() for weight in self.network.parameters())
        return {"parameters": count, "nonzero_parameters": count, "state_bytes": 4 * count}

    def write(self, folder):
        import safetensors.torch

        safetensors.torch.save_file(self.network.state_dict(), folder / FILE)


class Flat(Runtime[Params]):
    kinds = frozenset({"flat"})
    default_for = kinds
    packages = ("flat-runtime",)
    form = Form(
        name="flat",
        package="safetensors",
        imports="import safetensors.torch\\nfrom transformers import AutoConfig, AutoTokenizer\\n"
        "from transformers import AutoModelForSequenceClassification\\n",
        load='model = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained("."))\\n'
        'model.load_state_dict(safetensors.torch.load_file("model.flat"))',
        predict='batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")\\n'
        "scores = model.eval()(**batch).logits.detach().numpy()",
        files=(FILE,),
        takes=frozenset({"torch"}),
    )

    def load(self, folder, params, *, device, threads):
        import torch

        torch.set_num_threads(threads)
        return Predictor(self.load_model(folder, device).network.eval())

    def open_model(self, model, context):
        return Predictor(model.network.eval())

    def load_model(self, folder, device):
        import safetensors.torch
        from transformers import AutoModelForSequenceClassification

        companions = load_companions(folder)
        network = AutoModelForSequenceClassification.from_config(companions["config"])
        network.load_state_dict(safetensors.torch.load_file(folder / FILE))
        return FlatModel(network.to(device), **companions)

    def export(self, model, batches, folder):
        FlatModel(model.network, model.tokenizer, model.config).save(folder)
        return self.load_model(folder, "cpu")


class Predictor:
    def __init__(self, network):
        self.network = network

    def prepare(self, batch):
        import torch

        return {name: torch.from_numpy(values) for name, values in batch.items()}

    def forward(self, prepared):
        import torch

        with torch.inference_mode():
            return self.network(**prepared).logits

    def fetch(self, output):
        return output.numpy()

    def close(self):
        self.network = None


class ToFlat(Step[Params]):
    gives = "flat"

    def apply(self, model, params, context):
        return FlatModel(model.network, model.tokenizer, model.config)


class Closed(Flat):
    """One that nothing else opens."""

    kinds = default_for = frozenset({"closed"})
    form = load_model = export = None
'''
ENTRIES = """\
[slimgate.runtimes]
flat = flat_runtime:Flat
closed = flat_runtime:Closed
[slimgate.steps]
to_flat = flat_runtime:ToFlat
"""
PRUNED = "pruned = { steps = [{ magnitude_prune = { sparsity = 0.5 } }] }"
# As a suite names it of an installed package, and of a file of one's own.
NAMED = {
    "installed": "added = { steps = [{ to_flat = {} }] }",
    "dotted": """
[variants.added]
steps = [{ "flat_runtime:ToFlat" = {} }]
runtime = { name = "flat_runtime:Flat" }
""",
}


@pytest.fixture(scope="module", params=list(NAMED))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteRun]:
    """A suite with a variant of that kind, whose runtime this process knows."""
    entries = ENTRIES if request.param == "installed" else ""
    with add_package(tmp_path_factory.mktemp("packages"), "flat_runtime", CODE, entries):
        yield make_tiny_run(tmp_path_factory.mktemp("suite"), **{PRUNED: NAMED[request.param]})


def test_it_predicts_and_the_record_names_it(run: SuiteRun) -> None:
    built = run.build("added").artifact
    assert (built.kind, built.load("cpu").kind) == ("flat", "flat")
    assert run.suite.variants["added"].runtime.name in ("flat", "flat_runtime:Flat")
    teacher, added = run.measure_outcomes("teacher"), run.measure_outcomes("added")
    assert 0 < len(added) == len(run.rows.gate)
    assert not added.changed_rows(teacher).any()
    assert describe_machine(threads=1, device="cpu").libraries["flat-runtime"] == "1.0"


def test_what_was_judged_is_exported_and_is_a_model_of_a_suite(
    run: SuiteRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    out.mkdir()
    scratch.mkdir()
    artifact = run.build("added").artifact
    written = write_form(artifact, None, out, scratch)
    written.config.save_pretrained(out)
    written.tokenizer.save_pretrained(out)
    assert written.form == "flat"
    judged = run.suite.model("added").runtime
    gate = GateRows(run.suite, run.rows)
    assert check_rows(artifact, judged, written, out, gate, scratch).changed == 0
    assert parse_model_ref(str(out)).kind == "flat"
    monkeypatch.chdir(out)
    exec(
        make_snippet(written, loading.find_form("flat"), run.suite.setup.task.object, {"text": ["text"]}), {}
    )
    assert capsys.readouterr().out.count("neg") == 2


def test_a_pytorch_model_is_exported_by_it(run: SuiteRun, tmp_path: Path) -> None:
    written = write_form(run.build("teacher").artifact, "flat", tmp_path, tmp_path / "scratch")
    assert written.form == "flat"
    assert (tmp_path / "model.flat").is_file()


def test_another_form_is_refused_in_one_line(run: SuiteRun, tmp_path: Path) -> None:
    artifact = run.build("added").artifact
    with pytest.raises(BuildError, match="judged as a graph of flat, which --format onnx cannot write"):
        write_form(artifact, "onnx", tmp_path, tmp_path)
    with pytest.raises(DataError, match=r"--format flatt: no such format. Did you mean flat\?"):
        write_form(artifact, "flatt", tmp_path, tmp_path)


def test_a_runtime_without_a_form_is_refused_in_one_line(tmp_path: Path) -> None:
    with add_package(tmp_path / "packages", "flat_runtime", CODE, ENTRIES):
        artifact = Artifact(Entry(tmp_path, {"kind": "closed"}, False))
        with pytest.raises(
            BuildError, match="of kind closed, which only its own runtime can load; export the"
        ):
            write_form(artifact, None, tmp_path, tmp_path)
        with pytest.raises(
            BuildError, match=r"of unknown kind closed; known: .*flat, gguf, onnx, .*openvino"
        ):
            artifact.load("cpu")


def test_the_file_is_light_at_its_top(tmp_path: Path) -> None:
    (tmp_path / "flat_runtime.py").write_text(CODE, "utf-8")
    program = "import flat_runtime as b, sys; b.Flat(); print({'torch', 'transformers'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("set()\n", 0), done.stderr
