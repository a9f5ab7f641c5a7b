"""The names of the splits, and which of them only judge."""

from __future__ import annotations

UNLABELLED, CALIBRATION, CONFIRM, GATE = "unlabelled", "calibration", "confirm", "gate"
# Every suite has these.
SPLITS = ("train", CALIBRATION, "selection", GATE)
# No step reads rows of these.
JUDGING = (CONFIRM, GATE)
# The order in which a row belongs to the later of two splits. The gate is the last, so that its rows are the
# same with and without a split confirm.
DRAWN = (UNLABELLED, "train", CALIBRATION, "selection", CONFIRM, GATE)
