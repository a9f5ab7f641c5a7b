"""slimgate: is a compressed language model still good enough? Every verdict is a paired statistical decision.

    from slimgate import assert_within, class_outcomes

    def test_the_small_model_is_good_enough():
        teacher = class_outcomes(labels, answers_of_the_large_model)
        variant = class_outcomes(labels, answers_of_the_small_model)
        assert_within(teacher, variant, metric="accuracy", drop_points=1.0)

Everything that is exported here is typed, documented, and kept between minor versions; all other modules may
change. Importing slimgate loads nothing else: a name is loaded when it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slimgate._system.digests import file_sha256
    from slimgate.errors import BuildError, DataError, MeasureError, MissingExtra, SlimgateError, SuiteError
    from slimgate.judge.budget_kinds import QualityBudget
    from slimgate.judge.metrics.base import Metric, mean_of, statistic_of_sums
    from slimgate.judge.metrics.registry import load_metric
    from slimgate.judge.quality import judge_quality
    from slimgate.judge.verdict import QualityJudgement
    from slimgate.logs.within import assert_budgets, assert_within
    from slimgate.models.blocks import blocks
    from slimgate.models.config import check_positions
    from slimgate.models.graph import Graph
    from slimgate.models.linear_layers import cut_linear
    from slimgate.models.replace_modules import replace_modules_
    from slimgate.models.saved_files import load_companions
    from slimgate.models.torch_model import TorchModel, load_torch_model
    from slimgate.outcomes import ClassOutcomes, Outcomes, class_outcomes
    from slimgate.plugins.context import BuildContext
    from slimgate.plugins.measurement import MeasuredModel, Measurement
    from slimgate.plugins.models import ModelRef, Predictor
    from slimgate.plugins.params import SuitePath, Table
    from slimgate.plugins.reader import KlChunks, LoadRequest, LoadRun, Log, TaskLog
    from slimgate.plugins.reader import Reader as LogReader
    from slimgate.plugins.reader import Row as LogRow
    from slimgate.plugins.rows import Encoded, Rows, TaskFacts, number_groups
    from slimgate.plugins.runtime import Form, Runtime
    from slimgate.plugins.source import Source
    from slimgate.plugins.step import Step
    from slimgate.plugins.task import Task
    from slimgate.record.run import RunRecord, read_record
    from slimgate.results.base import Verdict
    from slimgate.steps.calibration import calibration_batches, input_norms
    from slimgate.suite.reader import load_suite
    from slimgate.suite.suite import Suite
    from slimgate.tasks.parts.classifiers import SEQUENCE_CLASSIFIER, Head, load_classifier
    from slimgate.tasks.parts.encoding import EncodedTexts, encode_texts
    from slimgate.tasks.parts.objectives import LabelsObjective
    from slimgate.tasks.text_classification import Params as TextClassificationParams
    from slimgate.tasks.text_classification import TextClassification

__version__ = "0.1.0"
# The module that defines each name. The keys of a store hold the code of these modules, not of this one.
HOMES = {
    # errors, all of them subclasses of SlimgateError
    "BuildError": "slimgate.errors",
    "DataError": "slimgate.errors",
    "MeasureError": "slimgate.errors",
    "MissingExtra": "slimgate.errors",
    "SlimgateError": "slimgate.errors",
    "SuiteError": "slimgate.errors",
    # a verdict on two models' answers, in any test
    "assert_budgets": "slimgate.logs.within",
    "assert_within": "slimgate.logs.within",
    "ClassOutcomes": "slimgate.outcomes",
    "Outcomes": "slimgate.outcomes",
    "class_outcomes": "slimgate.outcomes",
    "QualityBudget": "slimgate.judge.budget_kinds",
    "QualityJudgement": "slimgate.judge.verdict",
    "Verdict": "slimgate.results.base",
    "judge_quality": "slimgate.judge.quality",
    "load_metric": "slimgate.judge.metrics.registry",
    # what a suite says, and what a run found
    "load_suite": "slimgate.suite.reader",
    "Suite": "slimgate.suite.suite",
    "RunRecord": "slimgate.record.run",
    "read_record": "slimgate.record.run",
    # base classes of plug-ins, and what they are given
    "BuildContext": "slimgate.plugins.context",
    "Encoded": "slimgate.plugins.rows",
    "MeasuredModel": "slimgate.plugins.measurement",
    "Measurement": "slimgate.plugins.measurement",
    "ModelRef": "slimgate.plugins.models",
    "Predictor": "slimgate.plugins.models",
    "Rows": "slimgate.plugins.rows",
    "Runtime": "slimgate.plugins.runtime",
    "Source": "slimgate.plugins.source",
    "Step": "slimgate.plugins.step",
    "Task": "slimgate.plugins.task",
    "TaskFacts": "slimgate.plugins.rows",
    "number_groups": "slimgate.plugins.rows",
    "SuitePath": "slimgate.plugins.params",
    "Table": "slimgate.plugins.params",
    "Metric": "slimgate.judge.metrics.base",
    # to read the logs of another tool
    "KlChunks": "slimgate.plugins.reader",
    "LoadRequest": "slimgate.plugins.reader",
    "LoadRun": "slimgate.plugins.reader",
    "Log": "slimgate.plugins.reader",
    "LogReader": "slimgate.plugins.reader:Reader",
    "LogRow": "slimgate.plugins.reader:Row",
    "TaskLog": "slimgate.plugins.reader",
    # to build steps with
    "calibration_batches": "slimgate.steps.calibration",
    "input_norms": "slimgate.steps.calibration",
    "blocks": "slimgate.models.blocks",
    "cut_linear": "slimgate.models.linear_layers",
    "replace_modules_": "slimgate.models.replace_modules",
    "TorchModel": "slimgate.models.torch_model",
    "load_torch_model": "slimgate.models.torch_model",
    # to build runtimes with
    "Form": "slimgate.plugins.runtime",
    "Graph": "slimgate.models.graph",
    "load_companions": "slimgate.models.saved_files",
    # to build tasks, metrics and sources with
    "TextClassification": "slimgate.tasks.text_classification",
    "EncodedTexts": "slimgate.tasks.parts.encoding",
    "encode_texts": "slimgate.tasks.parts.encoding",
    "SEQUENCE_CLASSIFIER": "slimgate.tasks.parts.classifiers",
    "Head": "slimgate.tasks.parts.classifiers",
    "load_classifier": "slimgate.tasks.parts.classifiers",
    "LabelsObjective": "slimgate.tasks.parts.objectives",
    "check_positions": "slimgate.models.config",
    "mean_of": "slimgate.judge.metrics.base",
    "statistic_of_sums": "slimgate.judge.metrics.base",
    "file_sha256": "slimgate._system.digests",
    "TextClassificationParams": "slimgate.tasks.text_classification:Params",
}
__all__ = [
    "SEQUENCE_CLASSIFIER",
    "BuildContext",
    "BuildError",
    "ClassOutcomes",
    "DataError",
    "Encoded",
    "EncodedTexts",
    "Form",
    "Graph",
    "Head",
    "KlChunks",
    "LabelsObjective",
    "LoadRequest",
    "LoadRun",
    "Log",
    "LogReader",
    "LogRow",
    "MeasureError",
    "MeasuredModel",
    "Measurement",
    "Metric",
    "MissingExtra",
    "ModelRef",
    "Outcomes",
    "Predictor",
    "QualityBudget",
    "QualityJudgement",
    "Rows",
    "RunRecord",
    "Runtime",
    "SlimgateError",
    "Source",
    "Step",
    "Suite",
    "SuiteError",
    "SuitePath",
    "Table",
    "Task",
    "TaskFacts",
    "TaskLog",
    "TextClassification",
    "TextClassificationParams",
    "TorchModel",
    "Verdict",
    "__version__",
    "assert_budgets",
    "assert_within",
    "blocks",
    "calibration_batches",
    "check_positions",
    "class_outcomes",
    "cut_linear",
    "encode_texts",
    "file_sha256",
    "input_norms",
    "judge_quality",
    "load_classifier",
    "load_companions",
    "load_metric",
    "load_suite",
    "load_torch_model",
    "mean_of",
    "number_groups",
    "read_record",
    "replace_modules_",
    "statistic_of_sums",
]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = HOMES[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute or name)
    except ModuleNotFoundError as error:
        requirements = importlib.import_module("slimgate._system.requirements")
        missing = requirements.describe_missing_module(f"slimgate.{name}", error.name or "")
        if missing is None:
            raise
        raise ModuleNotFoundError(missing, name=error.name) from error


def __dir__() -> list[str]:
    return sorted(__all__)
