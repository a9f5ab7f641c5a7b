"""The section "How to read this", with only the words that this report has."""

from __future__ import annotations

from collections.abc import Iterator

from slimgate._system.number_text import format_percent
from slimgate.judge.decision import LEVEL
from slimgate.judge.speed import LEVEL as SPEED_LEVEL
from slimgate.record.run import RunRecord
from slimgate.report.tables import blocks, format_bullets
from slimgate.results.behaviour import BehaviourFacts
from slimgate.results.latency import LatencyFacts
from slimgate.results.quality import QualityFacts

_VERDICTS = """\
**PASS**: the rows show that the drop is inside its budget. **FAIL**: they show that it is not. \
**INCONCLUSIVE**: there are too few rows to tell; the line says how many would."""
_BEST_OF = (
    ' "At most 1.3 allowing for the choice among 4": an upper bound of the drop that holds although you '
    "choose one of 4 variants by these figures."
)
_DUEL = """\
A **duel** times the teacher and a variant in turns, in the same seconds. Its ratio is the **speed-up**; \
above 1 is faster."""
_NOISE_FLOOR = """\
The **noise floor** is how much faster the teacher seems than its own copy, at least 3 %. It widens the \
interval of every speed-up."""
_FLIPS = "**Flips** are rows that turned from right to wrong, or back."
_FLIPS_INTERVAL = " The share of lost rows has an exact interval (Clopper and Pearson)."
_SLICE = 'A **slice** is the gate rows that share a value; "few" is under 50 rows.'
_SLICE_BUDGET = """\
 A budget on slices is PASS only if every slice is shown to be inside it. FAIL takes Holm's correction over \
the slices."""
_BANDS = """\
Bands are words, not verdicts: gain beyond -1 point, negligible up to 1, small up to 2, depends on the use \
up to 5, bad above."""
_LATENCY = """\
**Latency** is one forward call on prepared tensors after warm-up, without tokenizing. Models are timed \
one after another, so compare speed-ups, not times. A percentile needs 29 (p90), 59 (p95) or 299 (p99) \
rounds. \
A budget in ms is judged by the 90 % interval of its percentile, which is 3 % wider because one process was \
timed. Rounds that follow each other alike count as fewer. A stall that did not happen while timing goes \
unnoticed."""
_SIZE = "**Size** is the files needed to predict; 1 MB = 1024² bytes. A stored zero takes its full space."
_MEMORY = """\
**Memory** is that of a fresh process that loads the model and predicts one batch. The brackets of a ratio \
hold the least and the most that the processes allow."""
_CALIBRATION = """\
**Calibration error** is the mean distance of confidence from accuracy over 15 bins (Guo et al. 2017)."""
_BRIER = """\
**Brier** is the squared distance of the probabilities from the label; half of that for two classes."""
_DASH = """\
An en dash (–) was not measured. Seconds and losses are those of the build, also if a model came from the \
store."""


def format_glossary(record: RunRecord) -> str:
    """The section; empty if no word of it occurs, as in a report of load tests."""
    lines = list(_explain(record))
    return blocks("## How to read this", format_bullets(lines)) if lines else ""


def _explain(record: RunRecord) -> Iterator[str]:
    """A line for each word, in the order in which the report has them."""
    quality = [facts for model in record.variants for facts in model.quality.values()]
    latency = [facts for model in record.variants for facts in model.latency.values()]
    behaviour = [model.behaviour for model in record.variants if model.behaviour is not None]
    yield from _explain_drops(record, quality, latency)
    if any(facts.speedup is not None for facts in latency):
        yield _DUEL
    if any(facts.noise_floor is not None for facts in latency):
        yield _NOISE_FLOOR
    yield from _explain_answers(behaviour)
    if any(facts.band is not None for facts in quality):
        yield _BANDS
    if latency:
        yield _LATENCY
    if any(model.artifact is not None and model.artifact.bytes is not None for model in record.variants):
        yield _SIZE
    if any(model.memory is not None for model in record.variants):
        yield _MEMORY
    if any(facts.ece is not None for facts in behaviour):
        yield _CALIBRATION
    if any(facts.brier is not None for facts in behaviour):
        yield _BRIER
    if not record.task.is_of_files:
        yield _DASH


def _explain_drops(
    record: RunRecord, quality: list[QualityFacts], latency: list[LatencyFacts]
) -> Iterator[str]:
    sides, has_drop = record.task.sides, any(facts.drop_points is not None for facts in quality)
    if has_drop:
        points = "percentage points"
        if any("log_loss" in model.quality for model in record.variants):
            points += " (log loss: hundredths of a nat)"
        worse = f"how much worse a {sides.other} is than its {sides.original}, in {points}"
        yield f"A **drop** is {worse}. A negative drop is a gain."
    levels = [f"{format_percent(LEVEL, 0)} for a drop"] if has_drop else []
    if any(facts.speedup is not None for facts in latency):
        levels.append(f"{format_percent(SPEED_LEVEL, 0)} for a speed-up")
    if levels:
        is_best_of_many = any(facts.among not in (None, 1) for facts in quality)
        yield f"**Brackets** hold an interval: {', '.join(levels)}.{_BEST_OF if is_best_of_many else ''}"
    if has_drop:
        yield _VERDICTS


def _explain_answers(behaviour: list[BehaviourFacts]) -> Iterator[str]:
    flips = [facts.flips for facts in behaviour if facts.flips is not None]
    if flips:
        # rows are the units of the interval; groups of rows have Gaffke's bound
        is_exact = any(counts.interval is not None and counts.groups is None for counts in flips)
        yield _FLIPS + (_FLIPS_INTERVAL if is_exact else "")
    slices = [part for facts in behaviour for part in facts.slices or ()]
    if slices:
        yield _SLICE + (_SLICE_BUDGET if any(part.worst is not None for part in slices) else "")
