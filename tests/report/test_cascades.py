"""The table of cascades: thresholds, weights of an ensemble, and what was chosen on the selection rows."""

from __future__ import annotations

from typing import Any

from support.report_sections import read_table
from support.sample_record import make_sample_record

from slimgate.record.build import CascadeFacts
from slimgate.record.run import RunRecord
from slimgate.report.variant_tables import make_cascade_table

CHOSEN = {"rows": 800, "drop_points": 0.5, "lost_points": 0.25, "passed_on": [0.2]}
PLAIN = {"models": ["small", "large"], "thresholds": [0.75], "temperatures": [1.0], "passed_on": [0.213]}


def record_of(*facts: dict[str, Any]) -> RunRecord:
    """The sample record, whose first variants are these cascades."""
    record = make_sample_record()
    variants = list(record.variants)
    for place, cascade in enumerate(facts):
        artifact = variants[place].artifact
        assert artifact is not None
        changed = artifact.model_copy(update={"cascade": CascadeFacts.model_validate(cascade)})
        variants[place] = variants[place].model_copy(update={"artifact": changed})
    return record.model_copy(update={"variants": variants})


def test_a_plain_cascade_has_no_column_of_weights() -> None:
    """As a record of before there were ensembles, which has no key `weights`."""
    text = make_cascade_table(record_of(PLAIN | {"selection": CHOSEN}))
    header, row = read_table(text)
    assert "weight of the next" not in header
    assert row[1:] == [
        "small",
        "large",
        "0.7500",
        "1.00",
        "21.3 %",
        "800, lost 0.2 of 0.5 points against large",
    ]
    assert "ensemble" not in text


def test_an_ensemble_shows_weights_and_the_loss_against_the_mean() -> None:
    together = PLAIN | {"weights": [0.625], "selection": CHOSEN}
    text = make_cascade_table(record_of(together, PLAIN | {"weights": [0.5]}, PLAIN))
    header, chosen, weighted, plain = read_table(text)
    place = header.index("weight of the next")
    assert [row[place] for row in (chosen, weighted, plain)] == ["0.62", "0.50", "–"]
    assert chosen[-1] == "800, lost 0.2 of 0.5 points against the mean of all"
    assert [weighted[-1], plain[-1]] == ["weights only", "no, set in the suite"]
    assert "An ensemble averages the scores of all models that a row reached." in text
