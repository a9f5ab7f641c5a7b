"""A runtime says which formats of weights it computes: models in another format are not timed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.versions import needs

from fixtures.models.quantized import WRITERS, write_tiny_llama
from fixtures.models.tiny import write_rows
from slimgate.errors import SuiteError
from slimgate.models.pretrained import train_tokenizer
from slimgate.suite.reader import load_suite
from slimgate.suite.suite import Suite

RUNTIME = '''\
"""Predicts by a server of GGUF files."""

from slimgate import Runtime, Table


class Params(Table):
    pass


class Gguf(Runtime[Params]):
    kinds = frozenset({"served"})
    formats = frozenset({"gguf"})

    def load(self, folder, params, *, device, threads):
        raise NotImplementedError
'''
STEP = '''\
"""Writes a served folder again, in a format that it does not say."""

from slimgate import Step, Table


class Params(Table):
    pass


class Repack(Step[Params]):
    takes = frozenset({"served"})

    def apply(self, model, params, context):
        return model
'''
SUITE = """\
[suite]
title = "formats"
[task]
kind = "causal_lm"
source = { name = "files", train = "rows.csv" }
text = ["text"]
max_tokens = 32
splits = { train = "rest", calibration = 8, selection = 8, gate = 8 }
[teacher]
model = "llama"
[variants.q8]
steps = [{ to_gguf = { type = "Q8_0" } }]
[variants.packed]
steps = [{ compressed_tensors = { scheme = "W8A8" } }]
[variants.w8]
model = "w8"
[variants.float]
steps = [{ magnitude_prune = { sparsity = 0.5 } }]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("formats")
    WRITERS["compressed_tensors_w8a8"](write_tiny_llama(path / "llama"), path / "w8")
    write_rows(path / "rows.csv", 64, seed=1)
    shutil.copytree(path / "llama", path / "words")  # whose tokenizer, WordLevel, llama.cpp does not have
    byte_level = train_tokenizer(
        (path / "rows.csv").read_text("utf-8").splitlines(), family="llama", size=300
    )
    byte_level.save_pretrained(path / "llama")
    (path / "gguf_server.py").write_text(RUNTIME, "utf-8")
    (path / "repacking.py").write_text(STEP, "utf-8")
    return path


def _load(folder: Path, monkeypatch: pytest.MonkeyPatch, runtimes: str = "") -> Suite:
    monkeypatch.syspath_prepend(str(folder))
    (folder / "suite.toml").write_text(SUITE + runtimes, "utf-8")
    return load_suite(folder / "suite.toml")


@needs("transformers>=5.18")
def test_the_format_is_that_of_the_last_step_or_of_the_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = _load(folder, monkeypatch)
    formats = {name: suite.find_weight_format(name) for name in ("teacher", *suite.variants)}
    assert formats == {
        "teacher": None,
        "q8": "gguf",
        "packed": "compressed-tensors",
        "w8": "compressed-tensors",
        "float": None,
    }
    assert suite.timed == ("teacher", "float")


@needs("transformers>=5.18")
def test_a_runtime_that_computes_the_format_is_timed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_runtime = '[variants.served]\nsteps = [{ to_gguf = {} }]\nruntime = { name = "gguf_server:Gguf" }\n'
    suite = _load(folder, monkeypatch, of_runtime)
    assert suite.timed == ("teacher", "float", "served")


@needs("transformers>=5.18")
def test_a_tokenizer_llama_cpp_lacks_is_refused_before_any_build(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = (
        '[variants.words]\nmodel = "words"\n[variants.words-q8]\nfrom = "words"\nsteps = [{ to_gguf = {} }]\n'
    )
    problem = (
        r"\[variants\.words-q8\] steps\[0\]\.to_gguf: llama.cpp cannot read this tokenizer \(WordLevel with"
    )
    with pytest.raises(SuiteError, match=problem):
        _load(folder, monkeypatch, more)


def test_a_runtime_refuses_a_format_that_it_does_not_compute(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_runtime = '[variants.served]\nsteps = [{ compressed_tensors = { scheme = "W8A8" } }]\n'
    of_runtime += 'runtime = { name = "gguf_server:Gguf" }\n'
    problem = r"gguf_server:Gguf cannot execute weights in compressed-tensors, expected gguf"
    with pytest.raises(SuiteError, match=problem):
        _load(folder, monkeypatch, of_runtime)


@needs("transformers>=5.18")
def test_a_step_that_keeps_the_kind_may_have_changed_the_format(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repack = '{ "repacking:Repack" = {} }'
    steps = f"[variants.repacked]\nsteps = [{{ to_gguf = {{}} }}, {repack}]\n"
    steps += f'[variants.behind]\nfrom = "q8"\nsteps = [{repack}]\n'
    suite = _load(folder, monkeypatch, steps)
    assert [suite.find_weight_format(name) for name in ("repacked", "behind")] == ["unknown", "unknown"]
    assert suite.timed == ("teacher", "float")
    runtime = 'runtime = { name = "gguf_server:Gguf" }\n'
    with pytest.raises(SuiteError, match="cannot execute weights in unknown, expected gguf"):
        _load(folder, monkeypatch, steps + runtime)
