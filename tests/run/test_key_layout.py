"""slimgate.run.keys: what stands in each key, in full.

An input that is dropped from a key, or that is read of the wrong thing, lets an old artifact or an old answer
pass for a new one, and no run fails. So the whole content of each key is written down here. Digests, versions
and the processor are replaced by texts that name what they were asked for.
"""

from __future__ import annotations

import json
import os
import pkgutil
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import BaseModel

import slimgate
from slimgate.plugins import loading
from slimgate.plugins.loading import list_named_modules
from slimgate.plugins.models import ModelRef
from slimgate.plugins.workloads import Workload
from slimgate.results.checks import CONFIRMED, MEASUREMENT, SELF_TEST, SINCE
from slimgate.run import contents as typed_contents
from slimgate.run import keys as typed_keys
from slimgate.run import result_keys as typed_result_keys
from slimgate.run.answering_model import AnsweringModel
from slimgate.run.rows import BuildInputs
from slimgate.runtimes.endpoint import EndpointTable

keys: Any = typed_keys  # a digest is the content of its key here
result_keys: Any = typed_result_keys
contents: Any = typed_contents
PARAMS = {"bits": 4, "file": "rows.csv"}
DATA = {"gate": "rows of gate"}


class Options(BaseModel):
    bits: int = 4
    file: str = "rows.csv"


class Cascade(BaseModel):
    models: list[str] = ["small", "large"]


class Plug:
    """A task, source, step or runtime: of module `tests.run.test_key_layout`."""

    packages: tuple[str, ...] = ("lib",)
    code_modules: Any = ("helper",)
    stochastic = True

    def digest(self, params: Options) -> str:
        return f"rows by {params.bits} bits"

    def text_columns(self, params: Options) -> list[str]:
        return [f"text{params.bits}"]

    def label_column(self, params: Options) -> str:
        return f"label{params.bits}"

    def columns(self, params: Options) -> list[str]:
        return [f"column{params.bits}"]

    def folders(self, params: Options) -> list[Path]:
        return [Path(f"folder{params.bits}")]

    def environment(self, params: Options) -> dict[str, Any]:
        return {"lm-eval": f"{params.bits}.0"}

    def answers_depend_on_processor(self, kind: str) -> bool:
        return kind == "int8"


class TaskPlug(Plug):
    def code_modules(self, params: Options) -> list[str]:
        return [f"scores{params.bits}"]


@pytest.fixture(autouse=True)
def named_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    replaced: dict[str, Any] = {
        "digest_json": lambda inputs: inputs,
        "digest_code": lambda name: f"code of {name}",
        "digest_own_code": lambda: "code of slimgate",
        "file_sha256": lambda path: f"bytes of {path.name}",
        "digest_folder": lambda folder, files: f"{folder.name} with {sorted(files)}",
        "read_versions": lambda names: dict.fromkeys(names, "1.0"),
        "describe_processor": lambda device, threads: f"{device} with {threads} threads",
        "module_of": lambda plug: f"module of {type(plug).__name__}",
        "list_code_modules": lambda kind, name, plug: (
            f"module of {type(plug).__name__}",
            *list_named_modules(kind, name),
        ),
        "describe_arithmetic": lambda: {"bits": "all"},
    }
    for name, function in replaced.items():
        for module in (keys, result_keys, contents):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, function)
    monkeypatch.setattr(contents, "digest_option_files", lambda options: f"files of {json.dumps(options)}")
    monkeypatch.setattr(contents, "digest_task_folder", lambda folder: f"content of {folder}")
    monkeypatch.setattr(contents, "digest_model_files", lambda ref: f"files of {ref.text}")
    monkeypatch.setattr(contents, "digest_server_files", lambda _params, base: f"served from {base}")


def named(name: str, plug: Plug, **more: Any) -> Any:
    return SimpleNamespace(
        name=name,
        object=plug,
        params=Options(),
        answers_depend_on_processor=plug.answers_depend_on_processor,
        **more,
    )


TASK = named("classify", TaskPlug())
SOURCE = named("files", Plug())
RUNTIME = named("onnx", Plug())
FILES = 'files of {"bits": 4, "file": "rows.csv"}'
RUNTIME_KEY = {
    "name": "onnx",
    "params": PARAMS,
    "files": FILES,
    "code": "code of module of Plug",
    "versions": {"lib": "1.0"},
}
CORE = {"torch": "1.0", "transformers": "1.0", "tokenizers": "1.0", "numpy": "1.0", "safetensors": "1.0"}


def make_suite(**more: Any) -> Any:
    setup = SimpleNamespace(source=SOURCE, task=TASK, group="author", sizes=Options(), slices=["language"])
    measure = SimpleNamespace(batch_size=16, batch_tokens=512, max_seconds=20)
    return SimpleNamespace(setup=setup, measure=measure, seed=3, seeds=[3, 4], threads=2, **more)


def make_rows() -> Any:
    return SimpleNamespace(
        task={"name": "the task's key"},
        facts=SimpleNamespace(classes=("no", "yes")),
        list_digests=lambda reads: {split: f"rows of {split}" for split in reads},
        reports={"train": SimpleNamespace(digest="t"), "gate": SimpleNamespace(digest="g")},
        source_digest="s",
    )


def make_inputs(suite: Any = None) -> BuildInputs:
    return BuildInputs(make_suite() if suite is None else suite, make_rows(), device="cuda:0", seed=3)


def artifact(digest: str = "a", kind: str = "int8") -> Any:
    return SimpleNamespace(digest=digest, kind=kind)


def common(data: dict[str, str], *packages: str, device: str = "cuda") -> dict[str, Any]:
    return {
        "data": data,
        "device": device,
        "versions": {**CORE, **dict.fromkeys(packages, "1.0")},
        "arithmetic": {"bits": "all"},
    }


# Rows

SOURCE_KEY = {
    "source": "files",
    "params": None,
    "files": FILES,
    "rows": "rows by 4 bits",
    "text": ["text4"],
    "label": "label4",
    "code": "code of module of Plug",
}


def test_source() -> None:
    assert keys.make_source_key(make_suite().setup) == SOURCE_KEY
    suite = make_suite()
    suite.setup.source = named("mine:Source", Plug())
    assert keys.make_source_key(suite.setup) == {
        **SOURCE_KEY,
        "source": "mine:Source",
        "params": PARAMS,
        "code": ["code of module of Plug", "code of mine"],
    }


def test_splits() -> None:
    cut = {
        "columns": ["column4"],
        "group": "author",
        "sizes": PARAMS,
        "seed": 3,
        "cutting": "code of slimgate.data.splits",
    }
    assert keys.make_splits_key(make_suite()) == {**SOURCE_KEY, **cut}
    assert keys.make_splits_key(make_suite(), {"source": "read before"}) == {"source": "read before", **cut}


def test_task() -> None:
    assert keys.make_task_key(TASK) == {
        "name": "classify",
        "params": PARAMS,
        "files": FILES,
        "code": {"module of TaskPlug": "code of module of TaskPlug", "scores4": "code of scores4"},
        "folders": ["content of folder4"],
        "environment": {"lm-eval": "4.0"},
    }


# Artifacts


def load(ref: ModelRef, *, reads: tuple[str, ...] = (), graph: str | None = None) -> Any:
    return keys.make_load_key(
        make_inputs(), ref, reads=reads, graph=graph, packages=("lib",), precision="bf16"
    )


LOADED = {
    "fresh": False,
    "new_head": None,
    "load": "files of m",
    "task": {"name": "the task's key"},
    "classes": ["no", "yes"],
    **common({}, "lib"),
    "seed": None,
    "precision": None,
    "format": {},
}


def test_a_complete_model(tmp_path: Path) -> None:
    assert load(ModelRef("m", tmp_path)) == LOADED


def test_a_model_with_a_head_that_is_fitted(tmp_path: Path) -> None:
    data = {"train": "rows of train"}
    key = load(ModelRef("m", tmp_path, new_head=True), reads=("train",))
    assert key == {**LOADED, "new_head": True, "data": data, "seed": 3, "precision": "bf16"}


def test_a_graph(tmp_path: Path) -> None:
    key = load(ModelRef("m", tmp_path, kind="onnx"), graph="slimgate.models.onnx")
    assert key == {**LOADED, "graph": ["onnx", "code of slimgate.models.onnx"]}


def test_the_format_of_weights_that_are_no_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "find_main_dtype", lambda folder: f"bfloat16 in {folder.name}")
    stored = f"bfloat16 in {tmp_path.name}"
    assert load(ModelRef("m", tmp_path))["format"] == {"dtype": stored}
    assert load(ModelRef("m", tmp_path, dtype="float16"))["format"] == {"dtype": "float16"}
    assert load(ModelRef("m", tmp_path, dtype="float32"))["format"] == {}
    assert load(ModelRef("m", tmp_path, fresh=True))["format"] == {}
    assert load(ModelRef("m", None))["format"] == {}
    assert load(ModelRef("m", tmp_path), reads=("train",))["format"] == {}


def test_the_format_of_quantized_weights(tmp_path: Path) -> None:
    assert load(ModelRef("m", tmp_path, stored={"method": "gptq"}, dtype="float16"))["format"] == {
        "stored": {"method": "gptq"},
        "dtype": "float16",
        "code": "code of slimgate.models.checkpoint",
        "readers": dict.fromkeys(contents.READERS, "1.0"),
    }


def test_an_endpoint(tmp_path: Path) -> None:
    table = EndpointTable(url="http://localhost:8000/v1", model="m")
    variant: Any = SimpleNamespace(runtime=SimpleNamespace(name="endpoint", params=table, object=Plug()))
    key = keys.make_endpoint_key(variant, tmp_path)
    assert key["endpoint"]["url"] == "http://localhost:8000/v1"
    assert key["endpoint"]["model"] == "m"
    assert {name: value for name, value in key.items() if name != "endpoint"} == {
        "served": f"served from {tmp_path}",
        "code": "code of module of Plug",
        "versions": {"lib": "1.0"},
    }


@pytest.mark.parametrize(
    ("reads", "kind", "packages", "more"),
    [
        ((), "int8", ["lib"], {}),
        (("selection",), "float", ["lib", "scipy"], {}),
        (("selection",), "int8", ["lib", "scipy"], {"processor": "cuda:0 with 2 threads"}),
    ],
)
def test_a_cascade(reads: tuple[str, ...], kind: str, packages: list[str], more: dict[str, str]) -> None:
    variants = {"small": SimpleNamespace(runtime=RUNTIME), "large": SimpleNamespace(runtime=RUNTIME)}
    suite = make_suite(model=variants.__getitem__)
    table: Any = Cascade()
    artifacts = [artifact("a", kind), artifact("b", "float")]
    key = keys.make_cascade_key(make_inputs(suite), table, artifacts, reads=reads)
    data = {split: f"rows of {split}" for split in reads}
    assert key == {
        "cascade": {"models": ["small", "large"]},
        "models": ["a", "b"],
        "runtimes": [RUNTIME_KEY, RUNTIME_KEY],
        "code": "code of slimgate.run.cascade",
        "task": {"name": "the task's key"},
        "batches": [16, 512],
        **common(data, *packages),
        **more,
    }


def step(**more: Any) -> Any:
    planned = {
        "reads": (),
        "row_files": (),
        "functions": (),
        "adds_rows": False,
        "build_depends_on_processor": False,
    }
    return named("prune", Plug(), **{**planned, **more})


def built(planned: Any, *teachers: str) -> Any:
    return keys.make_step_key(
        make_inputs(),
        planned,
        artifact("parent"),
        [artifact(teacher) for teacher in teachers],
        environment={"script": "x"},
        precision="bf16",
    )


BUILT = {
    "parent": "parent",
    "step": "prune",
    "params": PARAMS,
    "option_files": FILES,
    "code": {"module of Plug": "code of module of Plug", "helper": "code of helper"},
    "teacher": None,
    "task": None,
    "precision": "bf16",
    **common({}, "lib"),
    "seed": 3,
    "environment": {"script": "x"},
}


def test_a_step() -> None:
    assert built(step()) == BUILT


def test_a_step_with_a_name_of_its_own_module() -> None:
    planned = step()
    planned.name = "mine.steps:prune"
    code = {"module of Plug": "code of module of Plug", "mine.steps": "code of mine.steps"}
    named = {"step": "mine.steps:prune", "code": {**code, "helper": "code of helper"}}
    assert built(planned) == {**BUILT, **named}


def test_a_step_that_draws_nothing() -> None:
    planned = step()
    planned.object.stochastic = False
    assert built(planned) == {**BUILT, "seed": None}


def test_a_step_with_rows_and_teachers() -> None:
    planned = step(
        reads=("train",),
        row_files=(Path("more/a.csv"), Path("more/b.csv")),
        functions=("mine.parts:make:it", "other:f"),
        adds_rows=True,
        build_depends_on_processor=True,
    )
    assert built(planned, "t1") == {
        **BUILT,
        "teacher": "t1",
        "task": {"name": "the task's key"},
        "data": {"train": "rows of train"},
        "files": ["bytes of a.csv", "bytes of b.csv"],
        "functions": {"mine.parts:make:it": "code of mine.parts", "other:f": "code of other"},
        "held_out": {split: f"rows of {split}" for split in ("calibration", "selection", "confirm", "gate")},
        "processor": "cuda:0 with 2 threads",
    }
    assert built(step(), "t1", "t2") == {**BUILT, "teacher": "t1", "more_teachers": ["t2"]}


def test_what_steps_share() -> None:
    shared = keys.list_shared_inputs(artifact(), {"name": "t"}, "cuda:0")
    assert shared == {
        "teacher": "a",
        "task": {"name": "t"},
        "device": "cuda",
        "versions": CORE,
        "arithmetic": {"bits": "all"},
    }

    def fill(_folder: Path) -> dict[str, Any]:
        return {}

    assert keys.make_shared_key({"teacher": "a"}, {"layers": 2}, fill) == {
        "teacher": "a",
        "own": {"layers": 2},
        "code": f"code of {__name__}",
    }


def test_the_digest_of_an_artifact() -> None:
    assert keys.digest_artifact(Path("m"), ["b", "a"], ["one", "two"]) == {
        "files": "m with ['a', 'b']",
        "code": {"one": "code of one", "two": "code of two"},
    }


# Answers, and what is computed of a model once


@pytest.mark.parametrize(("kind", "processor"), [("int8", "cuda:0 with 2 threads"), ("float", None)])
def test_answers(kind: str, processor: str | None) -> None:
    model = AnsweringModel(make_suite(), make_rows(), artifact(kind=kind), RUNTIME, "cuda:0")
    key: Any = keys.make_answers_key(model, "gate")
    assert key == {
        "artifact": "a",
        "group": "author",
        "classes": ["no", "yes"],
        "task": {"name": "the task's key"},
        "plan": {"batch_size": 16, "batch_tokens": 512, "order": "longest first", "padding": "longest"},
        "runtime": RUNTIME_KEY,
        "code": ["code of slimgate.models.predict", "code of slimgate.data.parts"],
        "processor": processor,
        **common(DATA, "lib"),
    }


def test_answers_of_a_copy() -> None:
    model = AnsweringModel(make_suite(), make_rows(), artifact(), RUNTIME, "cuda:0")
    positions = np.array([2, 5])
    assert keys.make_copy_key(model, positions, np.array([1, 0]), seed=3, strength=2.0) == {
        "answers": keys.make_answers_key(model, "gate"),
        "processor": "cuda:0 with 2 threads",
        "positions": [2, 5],
        "order": [1, 0],
        "seed": 3,
        "strength": 2.0,
        "code": "code of slimgate.run.damaged_layer",
    }


def test_tokens_and_their_kl() -> None:
    code = ["code of slimgate.tasks.parts.next_token", "code of slimgate.run.token_kl"]
    assert keys.make_teacher_tokens_key("x") == {"answers": "x", "code": code}
    assert keys.make_token_kl_key("t", "x") == {"teacher": "t", "answers": "x", "code": code}


def test_operations() -> None:
    assert keys.make_operations_key(artifact(), RUNTIME, {"ids": np.array([[1, 2]])}, "cuda:0") == {
        "artifact": "a",
        "runtime": RUNTIME_KEY,
        "slimgate": "code of slimgate",
        "inputs": {"ids": [[1, 2]]},
        "device": "cuda",
        "versions": CORE,
    }


def test_the_way_of_a_row() -> None:
    assert keys.make_shapes_key(make_rows(), artifact(), "gate", 7, "cuda:0") == {
        "artifact": "a",
        "row": 7,
        "task": {"name": "the task's key"},
        "code": "code of slimgate.models.module_outputs",
        **common(DATA),
    }


def test_a_duel() -> None:
    variant: Any = SimpleNamespace(runtime=RUNTIME)
    workload = Workload(batch=1, tokens=8)
    models = [(variant, artifact("a")), (variant, artifact("b"))]
    assert keys.make_duel_key(make_suite(), make_rows(), models, workload, "gate", {"cpu": "x"}) == {
        "models": ["a", "b"],
        "runtimes": [RUNTIME_KEY, RUNTIME_KEY],
        "workload": asdict(workload),
        "rows": DATA,
        "task": {"name": "the task's key"},
        "seconds": 20,
        "machine": {"cpu": "x"},
        "arithmetic": {"bits": "all"},
        "code": ["code of slimgate.run.measure.duel", "code of slimgate.judge.speed"],
    }


def test_a_tokenizer(tmp_path: Path) -> None:
    weights = ("m.safetensors", "m.bin", "m.onnx", "m.data", "m.xml", "m.pt2", "m.gguf", "m.so")
    notes = ("slimgate.json", "cascade.json", "generation_config.json", "model.safetensors.index.json")
    for name in (*weights, *notes, "merges.txt"):
        (tmp_path / name).write_text("x")
    config = {"vocab_size": 9, "hidden_size": 4, "max_position_embeddings": 5, "id2label": {"0": "a"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    cut = {"truncation": {"direction": "Left", "max_length": 3}, "padding": None, "model": {"a": 1}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(cut))
    assert contents.digest_tokenizer(tmp_path) == {
        "merges.txt": "bytes of merges.txt",
        "config.json": {"vocab_size": 9, "max_position_embeddings": 5, "id2label": {"0": "a"}},
        "tokenizer.json": {"truncation": "Left", "padding": "Right", "model": {"a": 1}},
    }


@pytest.mark.parametrize("text", ["[1]", "{"])
def test_settings_that_are_no_table_count_by_their_bytes(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert contents.digest_tokenizer(tmp_path) == {"config.json": "bytes of config.json"}


# Results


class Measure(BaseModel):
    metrics: list[str] = ["accuracy"]
    workloads: list[str] = ["one"]
    loads: list[str] = ["two"]
    warmup: int = 1
    rounds: int = 2
    max_seconds: int = 3
    end_to_end: bool = True
    memory: bool = True
    batch_size: int = 16
    folder: Path = Path("somewhere")


def make_judged_suite(family: str | None = None) -> Any:
    table = {
        "quality": {"f1": 1},
        "behaviour": {"flips": 2},
        "size": {"ratio": 3},
        "speed": {"one": 4},
        "part_speeds": {"two": 5},
        "times": {"p50": 6},
        "flops": {"ratio": 7},
        "baseline": {"accuracy": 8},
        "measurements": {"energy": 10},
        "switched_off": ["x"],
    }
    budgets: dict[str, Any] = {"v": table, "w": {"quality": {"mcc": 9}}}
    variants = dict.fromkeys(budgets, SimpleNamespace(gated=True))
    suite = make_suite(budgets=budgets, find_budgets=budgets.__getitem__, family=family, variants=variants)
    suite.measure = Measure()
    return suite


RESULTS = {
    "slimgate": ["code of slimgate", "code of slimgate.judge.quality"],
    "splits": {"gate": "g", "train": "t"},
    "source": "s",
    "task": {"name": "the task's key"},
    "slices": ["language"],
    "seeds": [3, 4],
    "threads": 2,
    "teacher": "answers of the teacher",
    "model": "answers of v",
    "family": None,
    "arithmetic": {"bits": "all"},
}
MODELS = {"teacher": "answers of the teacher", "v": "answers of v"}
ALWAYS = {"batch_size": 16, "folder": "somewhere"}
TIMED = {"loads": ["two"], "warmup": 1, "rounds": 2, "max_seconds": 3, "end_to_end": True}
SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "quality": ({}, {"quality": {"f1": 1}}),
    SINCE: ({}, {"baseline": {"accuracy": 8}}),
    CONFIRMED: ({}, {"quality": {"f1": 1}}),
    "behaviour": ({"metrics": ["accuracy"]}, {"behaviour": {"flips": 2}}),
    "size": ({}, {"size": {"ratio": 3}}),
    "memory": ({"workloads": ["one"], "memory": True}, {}),
    "flops": ({}, {"flops": {"ratio": 7}}),
    MEASUREMENT: ({"workloads": ["one"]}, {"measurements": {"energy": 10}}),
    "latency": ({"workloads": ["one"], **TIMED}, {"times": {"p50": 6}}),
    "speedup": ({"workloads": ["one"], **TIMED}, {"speed": {"one": 4}, "part_speeds": {"two": 5}}),
    SELF_TEST: ({"metrics": ["accuracy"], "workloads": ["one"], **TIMED}, {"quality": {"f1": 1}}),
}
JUDGED = ("quality", SINCE, CONFIRMED, "behaviour", SELF_TEST)
CODE = {**{kind: {"f1": "code of f1"} for kind in JUDGED}, MEASUREMENT: {"meter": "code of meter"}}


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_keys, "make_metrics_key", lambda _suite: {"f1": "code of f1"})
    monkeypatch.setattr(result_keys, "_digest_measurements", lambda *_: {"meter": "code of meter"})


@pytest.mark.usefixtures("metrics")
def test_results() -> None:
    results: Any = result_keys.make_results_keys(make_judged_suite(), make_rows(), "v", MODELS)
    assert set(results) == {result_keys.MODEL, *SETTINGS} == {result_keys.MODEL, *result_keys.KINDS}
    assert results[result_keys.MODEL] == RESULTS
    for kind, (measure, budgets) in SETTINGS.items():
        tables = {"v": budgets}
        if kind == SELF_TEST:
            tables["w"] = {"quality": {"mcc": 9}}
        assert results[kind] == {
            **RESULTS,
            "metrics": CODE.get(kind, {}),
            "settings": {"measure": {**ALWAYS, **measure}, "budgets": tables},
        }, kind


@pytest.mark.usefixtures("metrics")
def test_results_of_a_family_depend_on_all_models() -> None:
    results: Any = result_keys.make_results_keys(make_judged_suite("holm"), make_rows(), "v", MODELS)
    assert results[result_keys.MODEL] == {**RESULTS, "family": ["holm", MODELS]}


@pytest.mark.usefixtures("metrics")
def test_metrics_of_a_family_depend_on_all_gated_budgets() -> None:
    suite = make_judged_suite("holm")
    suite.variants = {"v": SimpleNamespace(gated=False), "w": SimpleNamespace(gated=True)}
    results: Any = result_keys.make_results_keys(suite, make_rows(), "v", MODELS)
    assert results["quality"]["settings"]["family"] == {"w": {"quality": {"mcc": 9}}}
    assert [kind for kind in SETTINGS if "family" in results[kind]["settings"]] == ["quality"]


def test_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = [SimpleNamespace(name="spans"), SimpleNamespace(name="f1")]
    monkeypatch.setattr(pkgutil, "iter_modules", lambda _path: modules)
    entry = SimpleNamespace(value="theirs.metrics:Wer:x")
    monkeypatch.setattr(
        loading, "list_installed_plugins", lambda kind: {"wer": [entry]} if kind == "metric" else {}
    )

    def budgets(*names: str) -> Any:
        quality, behaviour, baseline = names
        return SimpleNamespace(
            quality={quality: 1},
            behaviour=SimpleNamespace(sliced_metrics=[behaviour]),
            baseline={baseline: 1},
        )

    suite: Any = SimpleNamespace(
        metrics=("accuracy", "wer"),
        teacher_budgets=budgets("mine:a", "hub:f1", "wer"),
        budgets={"v": budgets("f1", "mine.b:B:x", "last:c")},
    )
    package = "slimgate.judge.metrics"
    assert result_keys.make_metrics_key(suite) == {
        package: [f"code of {package}.f1", f"code of {package}.spans"],
        "wer": "code of theirs.metrics",
        "mine:a": "code of mine",
        "mine.b:B:x": "code of mine.b",
        "last:c": "code of last",
    }


def test_what_tells_variants_apart(tmp_path: Path) -> None:
    answers = tmp_path / "v.parquet"
    answers.write_text("x")
    files = {"v": ("inputs of v", answers), "w": ("inputs of w", tmp_path / "none")}
    assert result_keys.make_separation_key("f1", files) == [
        "f1",
        {"v": ["inputs of v", "bytes of v.parquet"], "w": ["inputs of w", None]},
    ]
    assert result_keys.make_separation_key("f1", {**files, "x": (None, answers)}) is None


def test_software() -> None:
    state = contents.describe_software()
    assert {name: state[name] for name in CORE} == CORE
    assert state["python"] == ".".join(map(str, sys.version_info[:3]))
    assert state["slimgate"] == f"{slimgate.__version__} (code of )"


# Parts of keys


def test_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for name in contents.ARITHMETIC:
        monkeypatch.delenv(name, raising=False)
    assert contents.describe_arithmetic() == {}
    for name in contents.ARITHMETIC:
        monkeypatch.setenv(name, f"{name} is set")
    assert contents.describe_arithmetic() == {name: os.environ[name] for name in contents.ARITHMETIC}
    assert set(contents.ARITHMETIC) == {
        "DNNL_DEFAULT_FPMATH_MODE",
        "NVIDIA_TF32_OVERRIDE",
        "ONEDNN_DEFAULT_FPMATH_MODE",
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    }


def test_torchs_precision_of_products_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for name in contents.ARITHMETIC:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    contents._read_matmul_precision.cache_clear()
    try:
        assert contents.describe_arithmetic() == {"float32_matmul_precision": "medium"}
    finally:
        contents._read_matmul_precision.cache_clear()


def test_without_torch_nothing_sets_a_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    contents._read_matmul_precision.cache_clear()
    try:
        assert contents._read_matmul_precision() == "highest"
    finally:
        contents._read_matmul_precision.cache_clear()
