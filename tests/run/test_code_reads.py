"""What a user's code reads is an input of what it makes, also if no key names the file or the variable."""

import hashlib
from pathlib import Path

import pytest
from support.code_digests import forget_digests
from support.tiny_suite import make_tiny_run

from slimgate._system.code_reads import watch_variables
from slimgate.errors import BuildError
from slimgate.store.store import Store

VARIANT = "shorter = { steps = [{ keep_layers = [0, 2] }] }"
SOURCE = '{ name = "files", train = "train.csv", gate = "gate.csv" }'

STEP = """
import csv
import os
from pathlib import Path

import pyarrow as pa

from slimgate import Source, Step, Table

FOLDER = Path(__file__).parent


def read_words():
    return [path.read_text() for path in sorted(FOLDER.glob("l*/*")) if path.suffix]


class Params(Table):
    pass


class Scale(Step[Params]):
    takes = frozenset({"torch"})
    stochastic = False

    def apply(self, model, params, context):
        model.network.classifier.weight.data *= len("".join(read_words()))
        return model


def repeat(texts):
    return [f"{text} {read_words()[0]}" for text in texts]


class Rows(Source[Params]):
    def columns(self, params):
        return None

    def is_real(self, params):
        return False

    def digest(self, params):
        return "1"  # the user forgot the file

    def read(self, params, *, scratch):
        rows = {}
        for name in ("train", "gate"):
            with Path(FOLDER.parent, f"{name}.csv").open() as file:
                rows[name] = pa.Table.from_pylist(list(csv.DictReader(file)))
        return rows
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own/lists").mkdir(parents=True)
    (tmp_path / "own/lists/words.txt").write_text("one")
    (tmp_path / "own/reading_steps.py").write_text(STEP)
    monkeypatch.syspath_prepend(tmp_path / "own")
    monkeypatch.delitem(__import__("sys").modules, "reading_steps", raising=False)
    forget_digests()
    watch_variables()  # a test before may have compiled a model
    return tmp_path


@pytest.mark.parametrize(
    "step",
    ['"reading_steps:Scale" = {}', 'distill = { augment = { translator = "reading_steps:repeat" } }'],
    ids=["step", "function"],
)
def test_a_file_that_a_step_reads_rebuilds_its_variant(folder: Path, step: str) -> None:
    variant = {VARIANT: f"shorter = {{ steps = [{{ {step} }}] }}"}
    assert not make_tiny_run(folder, **variant).build("shorter").from_store
    assert make_tiny_run(folder, **variant).build("shorter").from_store
    (folder / "own/lists/words.txt").write_text("two words")
    rebuilt = make_tiny_run(folder, **variant).build("shorter")
    assert not rebuilt.from_store
    assert make_tiny_run(folder, **variant).build("teacher").from_store
    assert make_tiny_run(folder, **variant).build("shorter").artifact.digest == rebuilt.artifact.digest


def test_a_file_that_a_source_reads_cuts_the_splits_again(folder: Path) -> None:
    source = {SOURCE: '{ name = "reading_steps:Rows" }'}
    before = make_tiny_run(folder, **source).rows
    assert make_tiny_run(folder, **source).rows.from_store
    text = (folder / "gate.csv").read_text("utf-8")
    (folder / "gate.csv").write_text(text.rsplit("\n", 2)[0] + "\n", "utf-8")
    after = make_tiny_run(folder, **source).rows
    assert (len(before.gate), len(after.gate)) == (60, 59)


def test_a_variable_that_a_step_reads_rebuilds_its_variant(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "own/reading_steps.py").write_text(
        STEP.replace("read_words()))", "os.environ[chr(65) + 'X']))")
    )
    variant = {VARIANT: 'shorter = { steps = [{ "reading_steps:Scale" = {} }] }'}
    monkeypatch.setenv("AX", "one")
    assert not make_tiny_run(folder, **variant).build("shorter").from_store
    assert make_tiny_run(folder, **variant).build("shorter").from_store
    monkeypatch.setenv("AX", "two words")
    assert not make_tiny_run(folder, **variant).build("shorter").from_store


def list_reads(words: Path) -> dict[str, str]:
    return {str(words): hashlib.sha256(words.read_bytes()).hexdigest()}


def test_an_entry_reads_what_those_it_is_made_from_read(tmp_path: Path) -> None:
    """The answers of a teacher read a file; the student that learns from them is another entry."""
    words, store = tmp_path / "words", Store(tmp_path / "store")
    words.write_text("one")
    reads = list_reads(words)
    store.make("teacher_answers", "a", lambda _: {"code_reads": reads})
    student = store.make("artifacts", "b", lambda _: {"from": store.find("teacher_answers", "a") is not None})
    assert (student.manifest["from"], student.manifest["code_reads"]) == (True, reads)
    words.write_text("two")
    assert store.find("artifacts", "b") is None


def test_entries_of_one_run_read_one_version(tmp_path: Path) -> None:
    words, store = tmp_path / "words", Store(tmp_path / "store")
    for text in ("one", "two"):
        words.write_text(text)
        reads = list_reads(words)
        store.make("outcomes", text, lambda _, reads=reads: {"code_reads": reads})
        if text == "one":
            assert store.find("outcomes", text) is not None
    with pytest.raises(BuildError, match=r"words, which your code reads, changed during this run"):
        store.find("outcomes", "two")
