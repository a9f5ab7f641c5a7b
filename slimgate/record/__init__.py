"""The run record: what one suite's run found, as run.json has it. Schema slimgate.run/2."""

from __future__ import annotations

from slimgate.judge.behaviour_parts import (
    BehaviourFacts,
    FigureFacts,
    Flips,
    KlFacts,
    PartedFacts,
    QuotedRow,
    ReliabilityFacts,
    SliceFacts,
    SliceGapFacts,
    TradeoffFacts,
)
from slimgate.judge.parts import BudgetFacts, BuildsFacts, PairFacts, Part, SeparationFacts
from slimgate.record.build import ArtifactFacts, ClaimFacts, StageFacts, StepFacts, StoredFacts
from slimgate.record.demands import DemandedBudget, DemandedRows, Demands
from slimgate.record.followed_rows import AnswerFacts, FollowedRow, RowShapes, TensorFacts
from slimgate.record.looks import ConfirmFacts, LookFacts, TimingFacts
from slimgate.record.machine import (
    FlopsFacts,
    LatencyFacts,
    Machine,
    MemoryFacts,
    PeakRates,
    Rates,
    SizeFacts,
    TimeLimitFacts,
)
from slimgate.record.quality import QualityFacts
from slimgate.record.run import SCHEMA, RunRecord, VariantRecord, read_record, to_json
from slimgate.record.shard import ShardFacts
from slimgate.record.since_baseline import SinceFacts, WaitingBudget
from slimgate.record.task import SplitFacts, SuiteFacts, TaskFactsRecord
from slimgate.record.tool_files import (
    KlFigure,
    KlLogFacts,
    LoadRunFacts,
    LoadTestFacts,
    TimeRatioFacts,
)
from slimgate.record.verdicts import (
    ONLY_WARNS,
    AcceptedFacts,
    BaselineFacts,
    CarriedResult,
    LoosenedBudget,
    PlantedDelay,
    RunVerdict,
    SelfTest,
    SelfTestPart,
    Status,
    SwitchedOffBudget,
    UndecidedChange,
    Weakening,
)

__all__ = [
    "ONLY_WARNS",
    "SCHEMA",
    "AcceptedFacts",
    "AnswerFacts",
    "ArtifactFacts",
    "BaselineFacts",
    "BehaviourFacts",
    "BudgetFacts",
    "BuildsFacts",
    "CarriedResult",
    "ClaimFacts",
    "ConfirmFacts",
    "DemandedBudget",
    "DemandedRows",
    "Demands",
    "FigureFacts",
    "Flips",
    "FlopsFacts",
    "FollowedRow",
    "KlFacts",
    "KlFigure",
    "KlLogFacts",
    "LatencyFacts",
    "LoadRunFacts",
    "LoadTestFacts",
    "LookFacts",
    "LoosenedBudget",
    "Machine",
    "MemoryFacts",
    "PairFacts",
    "Part",
    "PartedFacts",
    "PeakRates",
    "PlantedDelay",
    "QualityFacts",
    "QuotedRow",
    "Rates",
    "ReliabilityFacts",
    "RowShapes",
    "RunRecord",
    "RunVerdict",
    "SelfTest",
    "SelfTestPart",
    "SeparationFacts",
    "ShardFacts",
    "SinceFacts",
    "SizeFacts",
    "SliceFacts",
    "SliceGapFacts",
    "SplitFacts",
    "StageFacts",
    "Status",
    "StepFacts",
    "StoredFacts",
    "SuiteFacts",
    "SwitchedOffBudget",
    "TaskFactsRecord",
    "TensorFacts",
    "TimeLimitFacts",
    "TimeRatioFacts",
    "TimingFacts",
    "TradeoffFacts",
    "UndecidedChange",
    "VariantRecord",
    "WaitingBudget",
    "Weakening",
    "read_record",
    "to_json",
]
