"""The run record: what one suite's run found, as run.json has it. Schema slimgate.run/1."""

from __future__ import annotations

from slimgate.record.behaviour import (
    BehaviourFacts,
    Flips,
    QuotedRow,
    ReliabilityFacts,
    SliceFacts,
    TradeoffFacts,
)
from slimgate.record.build import ArtifactFacts, ClaimFacts, StageFacts, StepFacts
from slimgate.record.machine import FootprintFacts, LatencyFacts, Machine, MemoryFacts
from slimgate.record.part import Part
from slimgate.record.quality import BudgetFacts, BuildsFacts, QualityFacts
from slimgate.record.run import SCHEMA, RunRecord, VariantRecord, read_record, to_json
from slimgate.record.task import SplitFacts, SuiteFacts, TaskFactsRecord
from slimgate.record.verdicts import (
    BaselineFacts,
    LoosenedBudget,
    PlantedDelay,
    RunVerdict,
    SelfTest,
    SelfTestPart,
    Status,
)

__all__ = [
    "SCHEMA",
    "ArtifactFacts",
    "BaselineFacts",
    "BehaviourFacts",
    "BudgetFacts",
    "BuildsFacts",
    "ClaimFacts",
    "Flips",
    "FootprintFacts",
    "LatencyFacts",
    "LoosenedBudget",
    "Machine",
    "MemoryFacts",
    "Part",
    "PlantedDelay",
    "QualityFacts",
    "QuotedRow",
    "ReliabilityFacts",
    "RunRecord",
    "RunVerdict",
    "SelfTest",
    "SelfTestPart",
    "SliceFacts",
    "SplitFacts",
    "StageFacts",
    "Status",
    "StepFacts",
    "SuiteFacts",
    "TaskFactsRecord",
    "TradeoffFacts",
    "VariantRecord",
    "read_record",
    "to_json",
]
