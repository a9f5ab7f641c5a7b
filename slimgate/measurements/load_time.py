"""Seconds until a new process has imported the runtime and loaded the model.

A server that starts on demand, or a program that runs once, waits for this before its first answer.
"""

from __future__ import annotations

from slimgate.plugins.measurement import MeasuredModel, Measurement


class LoadTime(Measurement):
    title = "load time"
    unit = "s"

    def measure(self, model: MeasuredModel) -> float:
        return model.load_in_new_process()


measurement = LoadTime()
