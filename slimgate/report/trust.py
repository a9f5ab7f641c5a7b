"""What the figures rest on: the gate's own test, the machine, the command, how to read them.

What the planted delay says of a run's speeds, in words.
"""

from __future__ import annotations

from collections.abc import Iterator

from slimgate._system.escape import escaped, fenced
from slimgate.judge.decision import LEVEL
from slimgate.judge.speed import LEVEL as SPEED_LEVEL
from slimgate.record import Machine, PlantedDelay, RunRecord, SelfTestPart
from slimgate.report.figures import count, duration, fixed, percent
from slimgate.report.standing import models
from slimgate.report.tables import blocks, bullets

_GIBIBYTE = 1024**3
_HOW_TO_READ = """\
- A **drop** is positive where the variant is worse than the teacher, whatever the metric, and negative where
  it is better. The brackets hold its {level} interval. Both are in {points}.
- **PASS**: the gate rows show that the drop is inside its budget. **FAIL**: they show that it is not.
  **INCONCLUSIVE**: the rows are too few to tell; the line says how many would.
- Bands are words for readers, never the decision: negligible up to 1 point, small up to 2, depends on the
  use up to 5, bad above.
- **Flips** are rows whose answer turned from right to wrong; the share's interval is exact (Clopper and
  Pearson's). A **slice** is the gate rows that share a value; it FAILs where they show, after Holm's
  correction for all slices of the metric, that it lost more than its budget. A budget on slices is PASS if
  each slice is shown to be inside it. Without either it is **not shown**, which neither holds nor fails the
  run; "few" is under 50 rows. Buckets of length are quartiles of the number of words.
- **Calibration error**: the mean distance of confidence from accuracy over 15 bins of confidence (Guo et al.
  2017). **Brier**: the squared distance of the probabilities from the label, summed over the
  classes; half of that where there are two.
- **Latency** is one forward call on prepared tensors after warm-up: mean ± standard deviation over the
  rounds, models timed one after another on the machine above; rows keep their own lengths where no
  tokens are stated. Tokenizing is timed apart. A percentile wants 29 (p90), 59 (p95), 299 (p99) rounds.
- A **speedup** is the teacher's time / the variant's, taken by turns in the same seconds, without the time
  in which other processes had the core. Its {speed_level} interval is widened by the noise floor: by what the
  teacher may differ from a copy of itself.
- **Size** is that of the files needed to predict, 1 MB = 1024² bytes. A stored zero takes its full space.
- **Memory** is what is resident of a fresh process that loads a model and predicts one batch: with its
  runtime's libraries, and with files that it maps. The brackets of a ratio are no interval: they hold the
  least and the most that the processes allow.
- An en dash (–) is what was not measured. Seconds and losses are those of the build, also where a model
  came from the store."""


def delay_words(found: PlantedDelay) -> str:
    """`showed no delay under 30 % of a call`, where only a large one was seen; else nothing."""
    if not found.seen or found.clearance is None or found.clearance <= 1.0:
        return ""
    return f"showed no delay under {percent(found.clearance - 1, 0)} of a call"


def self_test(record: RunRecord) -> str:
    """The section: what was expected of the gate, and what it did."""
    found = record.self_test
    lines = [
        _part(
            "A copy of the teacher, saved, loaded and predicting afresh, must not FAIL",
            found.identical,
            wrong="identical" in found.failures,
        ),
        _part(
            "A planted fault must FAIL",
            found.planted_fault,
            wrong="planted_fault" in found.failures,
            undecided=found.undecided_fault is not None,
        ),
    ]
    lines.append(_delay(found.planted_delay))
    return blocks("## Self-test of the gate", bullets(lines))


def _delay(found: PlantedDelay | None) -> str:
    expected = "A planted delay of a tenth of the teacher's call must be seen by the duel"
    if found is None:
        return f"{expected}: not run."
    held = "seen, as it should be"
    if not found.seen:
        held = "**not seen, so no speed-up is decided**"
    elif words := delay_words(found):
        held = f"**the machine {words}, so a speed-up nearer than that to its budget can stay undecided**"
    return f"{expected}: {held}. {escaped(found.message)}"


def _part(expected: str, found: SelfTestPart | None, *, wrong: bool, undecided: bool = False) -> str:
    if found is None:
        return f"{expected}: not run."
    verdict = "no verdict" if found.verdict is None else str(found.verdict)
    held = "as it should be"
    if wrong:
        held = "**the gate cannot be trusted**"
    elif undecided:
        held = "**the rows could not decide it**"
    facts = [held] if found.verdict is not None or held != "as it should be" else []
    if found.changed is not None:
        facts.append(f"{count(found.changed)} answers changed")
    if found.drop_points is not None:
        facts.append(f"drop {fixed(found.drop_points, 1)} points")
    return f"{expected}: {', '.join([verdict, *facts])}. {escaped(found.message)}"


def machine(record: RunRecord) -> str:
    """The section, with the command that made the run."""
    return blocks(
        "## Machine and versions",
        bullets([*machine_lines(record.machine), *_run_lines(record), *_answers_of_the_store(record)]),
        "The command that made this:",
        fenced(record.command),
    )


def machine_lines(found: Machine) -> Iterator[str]:
    """Processor, system, libraries, and what made times unsteady."""
    cores = f"{count(found.cores)} cores, {count(found.threads)} threads used"
    memory = f"{fixed(found.memory_bytes / _GIBIBYTE, 1)} GiB of memory"
    yield f"{escaped(found.cpu)}, {cores}, {memory}, device {escaped(found.device)}"
    yield f"{escaped(found.os)}, Python {escaped(found.python)}"
    installed = [
        f"{escaped(name)} {escaped(version)}" for name, version in sorted(found.libraries.items()) if version
    ]
    absent = [escaped(name) for name, version in sorted(found.libraries.items()) if not version]
    if installed:
        yield ", ".join(installed)
    if absent:
        yield f"not installed: {', '.join(absent)}"
    yield from (f"**times may be off**: {escaped(warning)}" for warning in found.warnings)


def _run_lines(record: RunRecord) -> Iterator[str]:
    suite = record.suite
    seeds = ", ".join(map(str, suite.seeds))
    yield f"suite {escaped(suite.path)}, digest {escaped(suite.digest[:12])}, seed {seeds or 'not stated'}"
    yield f"slimgate {escaped(record.slimgate)}, {escaped(record.created)}, took {duration(record.seconds)}"
    times = sorted(set(_times(record)))
    if len(times) > 1:
        yield f"measured between {escaped(times[0])} and {escaped(times[-1])}"


def _answers_of_the_store(record: RunRecord) -> Iterator[str]:
    """Which models did not answer in this run, and which processor computed their answers."""
    by_processor: dict[str, list[str]] = {}
    for model in models(record):
        for processor in {facts.answered_on for facts in model.quality.values() if facts.answered_on}:
            by_processor.setdefault(processor, []).append(escaped(model.name))
    for processor, names in by_processor.items():
        yield f"answers from the store, computed on {escaped(processor)}: {', '.join(names)}"


def _times(record: RunRecord) -> Iterator[str]:
    for model in record.variants:
        yield from (facts.measured for facts in model.quality.values())
        yield from (facts.measured for facts in model.latency.values())
        if model.footprint is not None:
            yield model.footprint.measured
        if model.memory is not None:
            yield model.memory.measured
        if model.behaviour is not None and model.behaviour.measured is not None:
            yield model.behaviour.measured


def how_to_read(record: RunRecord) -> str:
    """The section."""
    points = "percentage points"
    if any("log_loss" in model.quality for model in record.variants):
        points += " (log loss: hundredths of a nat)"
    return blocks(
        "## How to read this",
        _HOW_TO_READ.format(points=points, level=percent(LEVEL, 0), speed_level=percent(SPEED_LEVEL, 0)),
    )
