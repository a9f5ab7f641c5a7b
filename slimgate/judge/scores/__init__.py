"""Scores of a written answer, from 0 to 1: one file for each. A task calls them, a metric is their mean."""

from slimgate.judge.scores.base import Score, best_score
from slimgate.judge.scores.registry import ChosenScore, load_score, score_names

__all__ = ["ChosenScore", "Score", "best_score", "load_score", "score_names"]
