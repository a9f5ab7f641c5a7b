"""Suites with one mistake each: the error names the file, the table, what was given and what was expected."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slimgate.errors import SuiteError
from slimgate.judge.budget_tables import TOKEN_TABLES
from slimgate.judge.metrics import list_known_metrics, load_metric
from slimgate.plugins.loading import list_known_plugins
from slimgate.suite.reader import load_suite

# Each file holds the expected message in its first line, then the lines that it changes in `suite_text`.
CASES = sorted((Path(__file__).parent / "malformed").glob("*.toml"))


def lines_by_key(text: str) -> dict[str, dict[str, str]]:
    """The lines of a suite by table and key; the header of a table has the key "". A comment has the key that
    it comments out."""
    tables: dict[str, dict[str, str]] = {}
    for line in filter(str.strip, text.splitlines(keepends=True)):
        key = line.removeprefix("# ").split("=")[0].strip()
        if key.startswith("["):
            table, key = tables.setdefault(key.strip("[]"), {}), ""
        table[key] = table.get(key, "") + line
    return tables


def merged(valid: str, case: str) -> str:
    """The valid suite with the lines of a case: they replace those of the same key, or begin the table."""
    tables = lines_by_key(valid)
    for name, lines in lines_by_key(case).items():
        tables[name] = lines | tables.get(name, {}) | lines
    return "\n".join("".join(lines.values()) for lines in tables.values())


def filled(message: str, bench: Path) -> str:
    """The message with {bench}, the folder, {repository}, the one above it, and lists of known names."""
    metrics = list_known_metrics()
    lists = {
        "budgets": sorted(
            [
                *metrics,
                *TOKEN_TABLES,
                "baseline",
                "flips",
                "flops",
                "latency",
                "measurements",
                "memory",
                "size",
                "slices",
            ]
        ),
        "per_row": [name for name in metrics if load_metric(name).per_row is not None],
        **{f"{kind}s": list_known_plugins(kind) for kind in ("step", "runtime", "source")},
    }
    for name, known_names in lists.items():
        message = message.replace(f"{{{name}}}", ", ".join(known_names))
    return message.replace("{bench}", str(bench)).replace("{repository}", str(bench.parent))


def problem(bench: Path, text: str | bytes, name: str = "x.toml") -> str:
    """The message of the error that loading this suite raises."""
    file = bench / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(SuiteError) as error:
        load_suite(file, name)
    return str(error.value)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_mistake_is_reported_in_one_whole_line(bench: Path, suite_text: str, case: Path) -> None:
    message, _, changes = case.read_text("utf-8").partition("\n")
    assert problem(bench, merged(suite_text, changes)) == filled(message.removeprefix("# "), bench)


@pytest.mark.parametrize(
    ("file", "content", "changes", "message"),
    [
        pytest.param(
            "more.csv",
            "sentence,other\ngood film,1\n",
            '[variants]\na = { steps = [{ distill = { transfer = "more.csv" } }] }\n',
            'x.toml [variants.a] steps[0].distill: more.csv has no column "text"; it has sentence, other',
            id="transfer-columns",
        ),
        pytest.param(
            "../model/config.json",
            '{"model_type": "gpt2", "n_positions": 64}',
            "[measure]\nworkloads = [{ batch = 1, tokens = 65 }]\n",
            "x.toml [measure] workloads[0].tokens: 65 was given, but ../model has positions for 64 tokens",
            id="n_positions",
        ),
        pytest.param(
            "../model/config.json",
            '{"model_type": "roberta", "max_position_embeddings": 66, "pad_token_id": 1}',
            "[measure]\nworkloads = [{ batch = 1, tokens = 65 }]\n",
            "x.toml [measure] workloads[0].tokens: 65 was given, but ../model has positions for 64 tokens",
            id="positions-offset",
        ),
        pytest.param(
            "_a.toml",
            '[suite]\nextends = "x.toml"\n',
            '[suite]\nextends = "_a.toml"\n',
            "x.toml [suite] extends: a cycle: x.toml -> _a.toml -> x.toml",
            id="extends-cycle",
        ),
        pytest.param(
            "_common.toml",
            "[suite]\n",
            '[suite]\nextends = "_comon.toml"\n',
            'x.toml [suite] extends: "_comon.toml": no such file in bench/. Did you mean _common.toml?',
            id="extends-missing",
        ),
        pytest.param(
            "../shared/common.toml",
            "[suite]\n",
            '[suite]\nextends = "../shared/comon.toml"\n',
            'x.toml [suite] extends: "../shared/comon.toml": no such file in shared/. '
            "Did you mean common.toml?",
            id="extends-missing-elsewhere",
        ),
        pytest.param(
            "_common.toml",
            "[suite]\nseed = \n",
            '[suite]\nextends = "_common.toml"\n',
            "_common.toml line 2: not TOML: Invalid value in column 8: seed =",
            id="extends-syntax",
        ),
        pytest.param(
            "_common.toml",
            "[measure]\nwarmup = -1\n",
            '[suite]\nextends = "_common.toml"\n',
            "x.toml (extends _common.toml) [measure] warmup: -1 was given, expected 0 or more",
            id="extends-mistake",
        ),
    ],
)
def test_a_mistake_that_another_file_shows_is_reported(
    bench: Path, suite_text: str, file: str, content: str, changes: str, message: str
) -> None:
    (bench / file).parent.mkdir(exist_ok=True)
    (bench / file).write_text(content)
    assert problem(bench, merged(suite_text, changes)) == message


def test_bytes_that_are_no_suite_are_reported(bench: Path, suite_text: str) -> None:
    latin = suite_text.replace("tiny", "tïny").encode("latin-1")
    assert problem(bench, latin) == "x.toml: not UTF-8 at byte 18; a TOML file is UTF-8"
    assert problem(bench, b"#" * 1_000_001) == "x.toml: 1000001 bytes, a suite may have at most 1000000"
    assert "nested too deeply" in problem(bench, "[suite]\nx = " + "[" * 5000)
    assert "nested too deeply" in problem(bench, f"[{'a.' * 9000}a]\n[suite]")
    message = "x.toml line 29: not TOML: this key or table occurs twice: [budgets]"
    assert problem(bench, f"{suite_text}[budgets]\n") == message


OWN = """
from pydantic import BaseModel

class Params(BaseModel):
    pass

class HalfAStep:
    Params = Params
    takes = frozenset({"torch"})

class NeedsAnArgument(HalfAStep):
    def __init__(self, what): ...
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_bad:HalfAStep", "it has no apply; see Step in slimgate/plugins/step.py"),
        ("own_bad:NeedsAnArgument", "calling it failed: TypeError: NeedsAnArgument.__init__() missing 1"),
        ("own_broken:x", "importing own_broken failed: ZeroDivisionError: division by zero"),
        ("own_imports:x", "importing own_imports failed: No module named 'not_installed_here'"),
    ],
)
def test_a_users_plug_in_that_is_none_has_its_reason(
    bench: Path, suite_text: str, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    (bench / "own_bad.py").write_text(OWN)
    (bench / "own_broken.py").write_text("1 / 0\n")
    (bench / "own_imports.py").write_text("import not_installed_here\n")
    monkeypatch.syspath_prepend(bench)
    error = problem(bench, suite_text.replace("int8_dynamic", f'"{name}"'))
    assert error.startswith(f'x.toml [variants.int8] steps[0]: step "{name}": {message}')


CALLED = """
from slimgate import Source, Step, Table, TextClassification

class Failing(Step[Table]):
    def apply(self, model, params, context): ...
    def by_processor(self, params): ...
    def also_reads(self, params):
        return 1 / 0

class OfOneText(Failing):
    def also_reads(self, params):
        return "train"

class OneColumn(TextClassification):
    def text_columns(self, params):
        return "text"

class Rows(Source):
    def columns(self, params):
        return 1 / 0
    def is_real(self, params): ...
    def digest(self, params): ...
    def read(self, params, *, scratch): ...

class Named(Rows):
    def columns(self, params):
        return "text"
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "Failing",
            '[variants.int8] steps[0]."NAME": ZeroDivisionError: division by zero (called.py, line 8)',
        ),
        ("OfOneText", "[variants.int8] steps[0]: step NAMED: its method also_reads gave 'train', NAMES"),
        ("OneColumn", "[task]: task NAMED: its method text_columns gave 'text', NAMES"),
        ("Rows", "a plug-in failed: ZERO (called.py, line 20)"),
        ("Named", "[task.source]: called:Named: its method columns gave 'text', NAMES or None"),
    ],
    ids=["step raises", "step gives a text", "task gives a text", "source raises", "source gives a text"],
)
def test_a_users_method_that_fails_in_a_check_is_one_line(
    bench: Path, suite_text: str, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    (bench / "called.py").write_text(CALLED)
    monkeypatch.syspath_prepend(bench)
    places = {"Failing": "int8_dynamic", "OfOneText": "int8_dynamic", "OneColumn": "text_classification"}
    old = places.get(name, '{ name = "files", path = "rows.csv" }')
    new = f'{{ name = "called:{name}" }}' if name not in places else f"called:{name}"
    if places.get(name) == "int8_dynamic":
        new = f'"{new}"'
    error = problem(bench, suite_text.replace(old, new))
    assert old in suite_text
    message = message.replace("NAMED", f'"called:{name}"').replace("NAMES", "expected a tuple of names")
    message = message.replace("NAME", f"called:{name}").replace("ZERO", "ZeroDivisionError: division by zero")
    assert error in (f"x.toml: {message}", f"x.toml {message}")


def errors_of_a_run(folder: Path, *arguments: str) -> list[str]:
    """What pytest writes to stderr, after ending with code 4."""
    # pytest-benchmark below 5.3 warns beside xdist
    quiet = ("-p", "no:cacheprovider", "--benchmark-disable")
    command = [sys.executable, "-m", "pytest", *quiet, "bench", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 4
    assert "Traceback" not in done.stdout
    assert "INTERNALERROR" not in done.stdout
    return [line for line in done.stderr.splitlines() if line]


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["serial", "n2"])
def test_a_run_ends_with_code_4_and_a_line_for_each_wrong_suite(
    bench: Path, suite_text: str, workers: tuple[str, ...]
) -> None:
    wrong = {
        "a": ("{ keep_layers", "{ keep_layer"),
        "b": ('label = "label"', 'label = "lable"'),
        "c": ("[measure]", "[measure"),
        "d": ("drop_points = 2.0", "drop_points = nan"),
    }
    for name, (old, new) in wrong.items():
        (bench / f"{name}.toml").write_text(suite_text.replace(old, new, 1))
    assert errors_of_a_run(bench.parent, *workers) == [
        'ERROR: bench/a.toml [variants.student] steps[0]: "keep_layer": no such step. '
        "Did you mean keep_layers?",
        'bench/b.toml [task]: the rows have no column "lable". Did you mean label?',
        "bench/c.toml line 25: not TOML: Expected ']' at the end of a table declaration in column 9: "
        "[measure",
        "bench/d.toml [budgets.accuracy] drop_points: nan was given, expected a finite number",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "labels", "message", "workers"),
    [
        (40, "pos", "too few rows for split train: part all has 40 rows", ("-n", "2")),
        (400, "", "part all is unlabelled: label column label is null, empty, nan or -1 in 400", ()),
    ],
    ids=["splits-too-large-n2", "unlabelled-serial"],
)
def test_rows_that_do_not_do_end_the_run_with_code_4(
    bench: Path, suite_text: str, rows: int, labels: str, message: str, workers: tuple[str, ...]
) -> None:
    texts = (f"film {i},{labels and ('neg', 'pos')[i % 2]},f{i}\n" for i in range(rows))
    (bench / "rows.csv").write_text("text,label,file\n" + "".join(texts))
    (bench / "x.toml").write_text(suite_text)
    [line] = errors_of_a_run(bench.parent, *workers)
    assert line.startswith(f"ERROR: bench/x.toml [task]: {message}")


HEAVY = ("torch", "transformers", "datasets", "evaluate", "sklearn")

LIGHT = f"""
import sys
import pytest
import slimgate.plugin
from pathlib import Path
from slimgate.suite.reader import load_suite

load_suite(Path(sys.argv[1]).resolve())
code = pytest.main(["bench", "--collect-only", "-q", "-p", "no:cacheprovider"])
print("heavy:", [name for name in {HEAVY} if name in sys.modules], "code:", int(code))
"""


def test_reading_suites_and_collecting_them_import_nothing_heavy(bench: Path, suite_text: str) -> None:
    (bench / "x.toml").write_text(suite_text)
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, "bench/x.toml"], cwd=bench.parent, capture_output=True, text=True
    )
    assert "bench/x.toml::test_quality[student-accuracy]" in done.stdout
    assert done.stdout.splitlines()[-1] == "heavy: [] code: 0"
    assert not (bench.parent / ".slimgate").exists()
    assert not (bench.parent / "reports").exists()
