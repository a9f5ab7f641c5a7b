"""The parts of report.html: Python that selects what is shown, a template, a style sheet, scripts."""

from __future__ import annotations
