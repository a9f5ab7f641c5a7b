"""slimgate.run.build: each node is built once, and a change rebuilds just what depends on it."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny_suite import CLASSIFICATION

from fixtures.models.tiny import write_rows, write_tiny_bert
from slimgate.errors import BuildError, DataError, SlimgateError
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.run.artifact_maker import BuildSettings
from slimgate.run.build import Builder
from slimgate.run.cluster.tasks import list_origins
from slimgate.run.rows import prepare_rows
from slimgate.store.store import Store
from slimgate.suite.reader import load_suite
from slimgate.suite.suite import Suite
from slimgate.tasks import text_classification

pytestmark = pytest.mark.slow

TRAIN = '{ fine_tune = { learning_rate = 1e-3, precision = "float32" } }'
MODELS = """\
[teacher]
model = "hub"
steps = [TRAIN]

[variants]
VARIANTS
"""
SUITE = CLASSIFICATION.replace("threads", "seed = SEED\nthreads") + MODELS
VARIANTS = """
student = { steps = [{ keep_layers = [0, 2] }, TRAIN] }
distilled = { steps = [{ keep_layers = [0, 2] }, { distill = { precision = "float32" } }] }
pruned = { steps = [{ magnitude_prune = { sparsity = 0.5 } }] }
pruned-student = { from = "student", steps = [{ magnitude_prune = { sparsity = 0.5 } }] }
"""


class Own:
    """Steps of a user's own, by "tests.run.test_build:NAME"; they say what they did in `calls`."""

    class Params(Table):
        rows: str | None = None
        teacher: bool = False
        value: int = 0

    takes = frozenset({"torch"})
    gives = None
    reads: tuple[str, ...] = ("train",)
    uses_teacher = False
    stochastic = False
    calls: tuple[str, ...] = ()

    def environment(self, params: Params) -> dict[str, Any]:
        return {"script": Path("x.py")} if params.value == 6 else {}

    def apply(self, model: Any, params: Params, context: BuildContext) -> Any:
        type(self).calls += (f"apply {params.value}",)
        if params.rows:
            context.rows(params.rows)
        if params.teacher:
            context.load_teacher()
        if params.value == 1:
            raise ZeroDivisionError("first line\n  second line")
        if params.value == 2:
            model.network.classifier.weight.data[0, 0] = float("nan")
        if params.value == 5:
            context.log["norms"] = model.network.classifier.weight.data
        return model


def add_noise(model: Any, context: BuildContext) -> None:
    """A user's function with random numbers, which does not say so."""
    model.network.classifier.weight.data.add_(torch.randn(()))
    context.log["drawn"] = [random.random(), float(np.random.rand())]


class GateReader(Own):
    """Says that it reads the gate, by its options, and looks at what it is given."""

    def also_reads(self, _params: Own.Params) -> tuple[str, ...]:
        return ("selection", "gate")

    def apply(self, model: Any, params: Own.Params, context: BuildContext) -> Any:
        context.log["splits"] = sorted(context.splits)
        return super().apply(model, params, context)


class Compiler(Own):
    """Makes something for one processor, where value is 3."""

    def by_processor(self, params: Own.Params) -> bool:
        return params.value == 3


class Tiny:
    """A folder with rows, a model and a store; `build` reads the suite afresh, as the next run would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_tiny_bert(folder / "hub")
        write_rows(folder / "train.csv", 56, seed=1)
        write_rows(folder / "gate.csv", 12, seed=2)

    def make_suite(
        self, variants: str = VARIANTS, seed: int = 0, train: str = TRAIN, **replaced: str
    ) -> Suite:
        text = SUITE.replace("VARIANTS", variants).replace("TRAIN", train).replace("SEED", str(seed))
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        (self.folder / "suite.toml").write_text(text, "utf-8")
        return load_suite(self.folder / "suite.toml", "suite.toml")

    def make_builder(self, suite: Suite, store: str = "store") -> Builder:
        local_store = Store(self.folder / store)
        return Builder(suite, prepare_rows(suite, local_store), local_store, BuildSettings("cpu"))

    def build(self, *names: str, store: str = "store", **changes: Any) -> dict[str, list[bool]]:
        """For each name, whether each of its steps came from the store. All names but the given are built."""
        suite = self.make_suite(**changes)
        builder = self.make_builder(suite, store)
        from_store = {}
        for name in names or ("teacher", *suite.variants):
            from_store[name] = [step.entry.from_store for step in builder.build(name).steps]
        return from_store


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A folder where all variants are built."""
    tiny = Tiny(tmp_path_factory.mktemp("build"))
    assert tiny.build() == {
        "teacher": [False, False],
        "student": [False, False],
        "distilled": [True, False],  # the blocks were kept for the student
        "pruned": [False],
        "pruned-student": [False],
    }
    return tiny


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path)


ALL = {"teacher": 2, "student": 2, "distilled": 2, "pruned": 1, "pruned-student": 1}


def test_a_second_run_builds_nothing(stored: Tiny) -> None:
    assert stored.build() == {name: [True] * count for name, count in ALL.items()}


def test_a_steps_parameter_rebuilds_it_and_what_depends_on_it(stored: Tiny) -> None:
    changed = VARIANTS.replace("{ keep_layers = [0, 2] }, TRAIN", "{ keep_layers = [1, 2] }, TRAIN")
    assert stored.build(variants=changed) == {
        "teacher": [True, True],
        "student": [False, False],
        "distilled": [True, True],
        "pruned": [True],
        "pruned-student": [False],
    }
    assert stored.build("pruned", variants=VARIANTS.replace("0.5", "0.4"))["pruned"] == [False]
    assert stored.build("distilled", variants=VARIANTS.replace("distill = {", "distill = { alpha = 0.4,"))[
        "distilled"
    ] == [True, False]


def test_the_title_and_other_variants_rebuild_nothing(stored: Tiny) -> None:
    fewer = "\n".join(line for line in VARIANTS.splitlines() if not line.startswith("distilled"))
    assert all(all(steps) for steps in stored.build(variants=fewer, tiny="another title").values())


def test_another_text_of_an_equal_parameter_rebuilds_nothing(stored: Tiny) -> None:
    equal = TRAIN.replace("1e-3", "0.0010")
    assert all(all(steps) for steps in stored.build(train=equal).values())


def test_another_seed_rebuilds_what_is_stochastic(tmp_path: Path) -> None:
    """The rows are cut by the seed as well, so here the source names its splits and nothing is drawn."""
    tiny = Tiny(tmp_path)
    write_tiny_bert(tmp_path / "hub", labels=("neg", "pos"))
    suite = tiny.make_suite(
        variants="trained = { steps = [TRAIN] }\n"
        'pruned = { model = "hub", steps = [{ magnitude_prune = { sparsity = 0.5 } }] }\n'
    )
    store = Store(tmp_path / "store")
    rows = prepare_rows(suite, store)
    from dataclasses import replace

    def steps(seed: int) -> dict[str, list[bool]]:
        builder = Builder(replace(suite, seeds=(seed,)), rows, store, BuildSettings("cpu"))
        return {
            n: [s.entry.from_store for s in builder.build(n).steps] for n in ("teacher", "trained", "pruned")
        }

    # a variant's files are checked further than a teacher's, so each is loaded into an entry of its own
    assert steps(0) == {"teacher": [False, False], "trained": [False], "pruned": [False, False]}
    assert steps(1) == {"teacher": [True, False], "trained": [False], "pruned": [True, True]}


def test_further_seeds_rebuild_stochastic_variants_for_a_teacher(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    variants = """
trained = { steps = [TRAIN] }
trained-pruned = { from = "trained", steps = [{ magnitude_prune = { sparsity = 0.5 } }] }
pruned = { steps = [{ magnitude_prune = { sparsity = 0.5 } }] }
"""
    suite = tiny.make_suite(variants=variants)
    store = Store(tmp_path / "store")
    rows = prepare_rows(suite, store)
    first = Builder(suite, rows, store, BuildSettings("cpu"))
    other = Builder(suite, rows, store, BuildSettings("cpu"), seed=1, teacher=first)

    def same(name: str) -> bool:
        return first.build(name).artifact.digest == other.build(name).artifact.digest

    assert {name: same(name) for name in ("teacher", "trained", "trained-pruned", "pruned")} == {
        "teacher": True,
        "trained": False,
        "trained-pruned": False,
        "pruned": True,
    }
    assert [name for name in suite.variants if suite.is_stochastic(name)] == ["trained", "trained-pruned"]


def test_random_numbers_of_a_users_step_come_from_the_seed(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    suite = tiny.make_suite(variants='noisy = { steps = [{ "tests.run.test_build:add_noise" = {} }] }\n')
    assert suite.is_stochastic("noisy")

    def build(seed: int, store: str) -> tuple[str, Any]:
        local_store = Store(tmp_path / store)
        rows = prepare_rows(suite, local_store)
        first = Builder(suite, rows, local_store, BuildSettings("cpu"))
        torch.manual_seed(len(store))  # whatever the process has drawn before
        artifact = (
            Builder(suite, rows, local_store, BuildSettings("cpu"), seed=seed, teacher=first)
            .build("noisy")
            .artifact
        )
        return artifact.digest, artifact.manifest["log"]["drawn"]

    assert build(0, "store") == build(0, "another store")
    digests, drawn = zip(build(0, "store"), build(1, "store"), strict=True)
    assert len({*digests}) == len({str(numbers) for numbers in drawn}) == 2


ASSISTED = """
assistant = { steps = [{ keep_layers = [0, 1, 3] }, TRAIN] }
small = { steps = [{ keep_layers = [0, 3] }, { distill = { teacher = "assistant", precision = "float32" } }] }
again = { from = "small", steps = [{ distill = { teacher = "self", precision = "float32" } }] }
"""


def test_a_teacher_assistant_is_built_before_its_students(
    tmp_path: Path,
) -> None:
    tiny = Tiny(tmp_path)
    write_tiny_bert(tmp_path / "hub", labels=("neg", "pos"))
    variants = ASSISTED.replace(", TRAIN", "")
    assert tiny.build("small", variants=variants) == {"small": [False, False]}
    assert tiny.build("assistant", "small", "again", variants=variants) == {
        "assistant": [True],
        "small": [True, True],
        "again": [False],
    }
    other = variants.replace("[0, 1, 3]", "[0, 2, 3]")
    assert tiny.build("small", variants=other) == {"small": [True, False]}


def test_what_learns_from_a_stochastic_variant_differs_by_seed(
    tmp_path: Path,
) -> None:
    tiny = Tiny(tmp_path)
    suite = tiny.make_suite(variants=ASSISTED)
    assert suite.is_stochastic("small")
    assert suite.variants["small"].assistants == ("assistant",)
    assert suite.variants["again"].assistants == ()
    from slimgate.run.plan import plan_models
    from slimgate.run.run import SuiteRun

    run = SuiteRun(suite, Store(tmp_path / "store"), device="cpu")
    planned = {model.name: model for model in plan_models(run)}
    assert planned["small"].start == "teacher"
    assert [step.name for step in planned["small"].missing] == ["keep_layers", "distill from assistant"]
    assert [step.name for step in planned["again"].missing] == ["distill from self"]


def test_a_further_teacher_is_built_first_and_is_in_the_key(
    tmp_path: Path,
) -> None:
    tiny = Tiny(tmp_path)
    write_tiny_bert(tmp_path / "hub", labels=("neg", "pos"))
    taught = 'small = { steps = [{ keep_layers = [0] }, { distill = { MORE precision = "float32" } }] }\n'
    variants = (
        "second = { steps = [{ keep_layers = [0, 1, 3] }] }\n"
        "third = { steps = [{ keep_layers = [0, 2, 3] }] }\n"
        + taught.replace("MORE", 'more_teachers = ["second", "third"],')
    )
    suite = tiny.make_suite(variants=variants)
    assert suite.variants["small"].assistants == ("second", "third")
    assert list_origins(suite.variants["small"]) == ("teacher", "second", "third")
    builder = tiny.make_builder(suite)
    manifest = builder.build("small").artifact.manifest
    assert manifest["log"]["more_teachers"] == ["second", "third"]
    digests = [builder.build(name).artifact.digest for name in ("teacher", "second", "third")]
    assert manifest["parents"][1:] == digests
    assert tiny.build("second", "small", variants=variants) == {"second": [True], "small": [True, True]}
    swapped = variants.replace('"second", "third"', '"third", "second"')
    assert tiny.build("small", variants=swapped) == {"small": [True, False]}
    assert tiny.build("small", variants=variants.replace("[0, 2, 3]", "[1, 2, 3]")) == {
        "small": [True, False]
    }
    assert tiny.build("small", variants=taught.replace("MORE ", "")) == {"small": [True, False]}


def test_a_student_of_a_stochastic_teacher_differs_by_seed(
    tmp_path: Path,
) -> None:
    tiny = Tiny(tmp_path)
    taught = 'small = { steps = [{ distill = { more_teachers = ["assistant"], precision = "float32" } }] }\n'
    suite = tiny.make_suite(variants=ASSISTED.splitlines()[1] + "\n" + taught)
    assert suite.is_stochastic("small")
    from slimgate.run.plan import plan_models
    from slimgate.run.run import SuiteRun

    planned = plan_models(SuiteRun(suite, Store(tmp_path / "store"), device="cpu"))
    [small] = [model for model in planned if model.name == "small"]
    assert [step.name for step in small.missing] == ["distill from teacher and assistant"]


def test_a_teacher_that_would_count_twice_is_refused(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    write_tiny_bert(tmp_path / "hub", labels=("neg", "pos"))
    variants = (
        "a = { steps = [{ keep_layers = [0, 3] }] }\n"
        'b = { from = "a", steps = [{ distill = { teacher = "self", more_teachers = ["a"] } }] }\n'
    )
    with pytest.raises(
        BuildError, match='b: step distill: "a" is the same model as "self"; name one of them'
    ):
        tiny.make_builder(tiny.make_suite(variants=variants)).build("b")


def test_an_ensembles_members_share_answers_with_their_students(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    write_tiny_bert(tmp_path / "hub", labels=("neg", "pos"))
    variants = (
        "second = { steps = [{ keep_layers = [0, 1, 3] }] }\n"
        'one = { steps = [{ distill = { teacher = "second", precision = "float32" } }] }\n'
        'both = { steps = [{ distill = { more_teachers = ["second"], precision = "float32" } }] }\n'
        'two-processes = { steps = [{ distill = { more_teachers = ["second"], processes = 2, '
        'precision = "float32" } }] }\n'
    )
    suite = tiny.make_suite(variants=variants)
    builder = tiny.make_builder(suite)
    builder.build("one")
    note = builder.build("both").artifact.manifest["log"]["teacher_logits"]
    assert note == "the mean of 2 teachers', 1 of them from the store, read by memory map"
    note = builder.build("two-processes").artifact.manifest["log"]["teacher_logits"]
    assert note == "the mean of 2 teachers', 2 of them from the store, read by memory map"


def test_a_transfer_set_and_what_it_may_not_hold_are_in_the_key(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    write_tiny_bert(tmp_path / "hub", labels=("neg", "pos"))
    gate_text = (tmp_path / "gate.csv").read_text().splitlines()[1].split(",")[0]
    more = tmp_path / "more.txt"
    more.write_text(f"good nice film\n{gate_text}\n")
    variants = (
        'a = { model = "hub", steps = [{ distill = { transfer = "more.txt", precision = "float32" } }] }\n'
    )
    suite = tiny.make_suite(variants=variants)
    built = tiny.make_builder(suite).build("a").steps[1]
    assert built.manifest["params"]["transfer"] == ["more.txt"]
    assert built.manifest["log"]["transfer"]["dropped_held_out"] == 1
    assert built.manifest["log"]["transfer"]["rows"] == 1
    assert tiny.build("a", variants=variants) == {"a": [True, True]}
    more.write_text(f"good nice film\n{gate_text}\nbad plot\n")
    assert tiny.build("a", variants=variants) == {"a": [True, False]}
    write_rows(tmp_path / "gate.csv", 12, seed=4)
    assert tiny.build("a", variants=variants) == {"a": [True, False]}


def test_a_transfer_set_that_changes_in_a_step_is_an_error(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    write_tiny_bert(tmp_path / "hub", labels=("neg", "pos"))
    more = tmp_path / "more.txt"
    more.write_text("good nice film\n")
    options = 'transfer = "more.txt", precision = "float32"'
    suite = tiny.make_suite(variants=f'a = {{ model = "hub", steps = [{{ distill = {{ {options} }} }}] }}\n')

    class LateStore(Store):
        def make(self, kind: str, *arguments: Any, **options: Any) -> Any:
            more.write_text(more.read_text("utf-8") + "bad plot\n", "utf-8")
            return super().make(kind, *arguments, **options)

    store = LateStore(tmp_path / "store")
    builder = Builder(suite, prepare_rows(suite, store), store, BuildSettings("cpu"))
    with pytest.raises(BuildError, match="files of further rows changed while they were read"):
        builder.build("a")


def test_a_step_that_adds_no_rows_has_no_gate_in_its_key(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    write_tiny_bert(tmp_path / "hub", labels=("neg", "pos"))
    plain = 'a = { model = "hub", steps = [{ distill = { precision = "float32" } }] }\n'
    assert tiny.build("a", variants=plain) == {"a": [False, False]}
    write_rows(tmp_path / "gate.csv", 12, seed=5)
    assert tiny.build("a", variants=plain) == {"a": [True, True]}


def test_a_step_that_adds_no_rows_is_not_told_what_is_held_out(tmp_path: Path) -> None:
    context = (
        Tiny(tmp_path).make_builder(Tiny(tmp_path).make_suite())._contexts.make(("train",), (), tmp_path)
    )
    with pytest.raises(DataError, match="must declare this with adds_rows"):
        context.are_held_out(["good film"])


def test_other_train_rows_rebuild_only_what_reads_them(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    write_tiny_bert(tmp_path / "hub", labels=("neg", "pos"))
    variants = 'pruned = { model = "hub", steps = [{ magnitude_prune = { sparsity = 0.5 } }] }\n'
    variants += 'trained = { model = "hub", steps = [TRAIN] }\n'
    assert tiny.build("pruned", "trained", variants=variants) == {
        "pruned": [False, False],
        "trained": [True, False],
    }
    write_rows(tmp_path / "train.csv", 56, seed=3)  # selection is cut from them: the labels are tried again
    assert tiny.build("pruned", "trained", variants=variants) == {
        "pruned": [False, True],
        "trained": [True, False],
    }
    write_rows(tmp_path / "gate.csv", 12, seed=4)
    assert tiny.build("pruned", "trained", variants=variants) == {
        "pruned": [True, True],
        "trained": [True, True],
    }


def test_other_weights_in_the_same_folder_are_another_model(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    assert tiny.build("teacher", variants="") == {"teacher": [False, False]}
    write_tiny_bert(tmp_path / "hub", seed=1)
    assert tiny.build("teacher", variants="") == {"teacher": [False, False]}


@pytest.mark.parametrize("pooling", ["model", "mean"])
def test_building_twice_gives_equal_digests(tmp_path: Path, pooling: str) -> None:
    tiny = Tiny(tmp_path)
    changes = {'label = "label"': f'label = "label"\npooling = "{pooling}"'}
    suite = tiny.make_suite(**changes)
    once, twice = tiny.make_builder(suite, "one"), tiny.make_builder(suite, "two")
    for name in ("distilled", "pruned-student"):
        a, b = once.build(name), twice.build(name)
        assert not b.steps[-1].entry.from_store
        assert [step.digest for step in a.steps] == [step.digest for step in b.steps]


def test_a_fresh_head_with_random_layers_is_built_the_same_twice(tmp_path: Path) -> None:
    """RoBERTa's head has a dense layer of its own, which a base model lacks."""
    import torch

    from fixtures.models.architectures import write_tiny

    tiny = Tiny(tmp_path)
    write_tiny(tmp_path / "roberta", "roberta")
    suite = tiny.make_suite(variants="", **{'model = "hub"': 'model = "roberta"'})
    digests = set()
    for store in ("one", "two"):
        torch.rand(1)
        digests.add(tiny.make_builder(suite, store).build("teacher").steps[0].digest)
    assert len(digests) == 1


def test_the_manifest_says_what_was_done(stored: Tiny) -> None:
    artifact = stored.make_builder(stored.make_suite()).build("student").artifact
    manifest = artifact.manifest
    assert manifest["step"] == "fine_tune"
    assert manifest["params"]["learning_rate"] == 1e-3
    assert manifest["kind"] == "torch"
    assert manifest["seconds"] > 0
    assert manifest["log"]["epochs"][0]["epoch"] == 1
    assert manifest["bytes"] == sum(manifest["sizes"].values())
    assert manifest["nonzero_parameters"] <= manifest["parameters"]
    entries = [path for path in stored.folder.glob("store/*/*/**/*") if "holds" not in path.parts]
    suffixes = {path.suffix for path in entries if path.is_file()}
    assert suffixes <= {".json", ".safetensors", ".parquet", ".npy", ".lock", ""}


def write_variant(value: int, **params: Any) -> str:
    written = ", ".join(
        f"{key} = {str(v).lower() if isinstance(v, bool) else repr(v)}" for key, v in params.items()
    )
    inner = f"value = {value}" + (f", {written}" if written else "")
    return f'own = {{ steps = [{{ "tests.run.test_build:Own" = {{ {inner} }} }}] }}\n'


@pytest.mark.parametrize(
    ("variant", "error", "message"),
    [
        (
            write_variant(1),
            BuildError,
            "own: step tests.run.test_build:Own: ZeroDivisionError: first line second line",
        ),
        (
            write_variant(2),
            BuildError,
            "own: step tests.run.test_build:Own: weights are NaN or infinite after the step, first in",
        ),
        (
            write_variant(0, rows="gate"),
            DataError,
            "own: step tests.run.test_build:Own: a build step asked for gate rows",
        ),
        (
            write_variant(0, rows="selection"),
            DataError,
            "own: step tests.run.test_build:Own: a build step needs rows of the split selection",
        ),
        (write_variant(0, teacher=True), BuildError, "own: step tests.run.test_build:Own: "),
        (
            write_variant(5),
            BuildError,
            'own: step tests.run.test_build:Own: context.log["norms"] is not JSON (Object of type Tensor',
        ),
        (
            write_variant(6),
            BuildError,
            "own: step tests.run.test_build:Own: TypeError: its environment returned {'script': "
            "PosixPath('x.py')}, expected JSON values",
        ),
    ],
    ids=["raises", "NaN weights", "gate rows", "rows that it does not read", "teacher", "log", "environment"],
)
def test_a_step_that_fails_names_its_variant_and_itself(
    stored: Tiny, variant: str, error: type[SlimgateError], message: str
) -> None:
    builder = stored.make_builder(stored.make_suite(variants=variant))
    with pytest.raises(error) as caught:
        builder.build("own")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert list((stored.folder / "store" / "tmp").iterdir()) == []


def test_a_variant_that_failed_is_not_built_again_for_each_ask(stored: Tiny) -> None:
    builder = stored.make_builder(
        stored.make_suite(
            variants=write_variant(1) + 'child = { from = "own", steps = [{ keep_layers = [0] }] }\n'
        )
    )
    Own.calls = ()
    messages = []
    for name in ("own", "own", "child"):
        with pytest.raises(BuildError) as caught:
            builder.build(name)
        messages.append(str(caught.value))
    assert Own.calls == ("apply 1",)
    assert len(set(messages)) == 1


def test_what_is_kept_of_a_failure_holds_no_frames(stored: Tiny) -> None:
    builder = stored.make_builder(stored.make_suite(variants=write_variant(1)))
    with pytest.raises(BuildError):
        builder.build("own")
    assert builder._failed["own"].__traceback__ is None
    assert builder._failed["own"].__cause__ is None


def test_a_users_step_that_works_is_built_once(stored: Tiny) -> None:
    Own.calls = ()
    for from_store in (False, True):
        assert stored.build("own", variants=write_variant(3)) == {"own": [from_store]}
    assert Own.calls == ("apply 3",)


def test_a_model_whose_labels_do_not_fit_is_named(tiny: Tiny) -> None:
    write_tiny_bert(tiny.folder / "hub", labels=("good", "evil"))
    with pytest.raises(
        SlimgateError, match=r"^suite\.toml \[task\]: hub: the model's labels do not fit the data's"
    ):
        tiny.make_builder(tiny.make_suite()).build("teacher")


def test_a_model_without_its_weights_is_named(tiny: Tiny) -> None:
    suite = tiny.make_suite()
    (tiny.folder / "hub" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(BuildError, match=r"^teacher: model hub: (?!hub)"):
        tiny.make_builder(suite).build("teacher")


def test_rows_of_one_label_are_an_error_that_names_the_suite(tiny: Tiny) -> None:
    for name in ("train.csv", "gate.csv"):
        with (tiny.folder / name).open(encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        with (tiny.folder / name).open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, ["text", "label", "file"])
            writer.writeheader()
            writer.writerows({**row, "label": "pos"} for row in rows)
    with pytest.raises(DataError, match=r"^suite\.toml \[task\]: column \"label\" has only one label"):
        tiny.make_builder(tiny.make_suite())


def test_a_step_that_says_it_reads_the_gate_is_not_handed_it(tmp_path: Path) -> None:
    variants = 'a = { steps = [{ "tests.run.test_build:GateReader" = {} }] }\n'
    variants += 'b = { steps = [{ "tests.run.test_build:GateReader" = { rows = "gate" } }] }\n'
    tiny = Tiny(tmp_path)
    builder = tiny.make_builder(tiny.make_suite(variants=variants))
    assert builder.build("a").artifact.manifest["log"]["splits"] == ["selection", "train"]
    with pytest.raises(DataError, match="a build step asked for gate rows, which are for verdicts only"):
        builder.build("b")


def test_a_step_that_depends_on_the_processor_is_built_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variants = 'a = { steps = [{ "tests.run.test_build:Compiler" = { value = 3 } }] }\n'
    variants += 'b = { steps = [{ "tests.run.test_build:Compiler" = { value = 4 } }] }\n'
    tiny = Tiny(tmp_path)
    assert tiny.build("a", "b", variants=variants) == {"a": [False], "b": [False]}
    assert tiny.build("a", "b", variants=variants) == {"a": [True], "b": [True]}
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert tiny.build("a", "b", variants=variants) == {"a": [False], "b": [True]}


def test_a_model_that_changes_while_it_is_read_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path / "train.csv", 64, seed=1)
    write_rows(tmp_path / "gate.csv", 40, seed=2)
    hub = write_tiny_bert(tmp_path / "hub")
    text = SUITE.replace("SEED", "0").replace("VARIANTS", "").replace("steps = [TRAIN]", "")
    (tmp_path / "suite.toml").write_text(text)
    suite, store = load_suite(tmp_path / "suite.toml", "suite.toml"), Store(tmp_path / "store")
    builder = Builder(suite, prepare_rows(suite, store), store, BuildSettings("cpu"))
    loads = text_classification.task.load_model

    def load_while_written(*arguments: Any) -> Any:
        write_tiny_bert(hub, seed=1)
        return loads(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(text_classification.task, "load_model", load_while_written)
        with pytest.raises(BuildError, match="changed while they were read"):
            builder.build("teacher")
    again = Builder(suite, prepare_rows(suite, store), store, BuildSettings("cpu")).build("teacher")
    assert not again.from_store
