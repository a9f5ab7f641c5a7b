"""The record as text for people: record in, markdown out. Measures and judges nothing."""

from __future__ import annotations

from slimgate.report.markdown import index_report, suite_report

__all__ = ["index_report", "suite_report"]
