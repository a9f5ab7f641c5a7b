"""Writing in two calls with a library that writes whole answers: it waits after the first token of each row.

    paused = PausedWriting(lambda on_token: generator.generate_batch(…, asynchronous=True, callback=on_token))
    paused.wait()            the first token of each row is chosen
    paused.finish()          the results, with the other tokens

The library writes in a separate thread, and calls on_token in it for every token.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

# Seconds between checks whether writing has failed before the first token.
_LOOK = 0.2


class PausedWriting:
    """Answers after their first token."""

    def __init__(self, start: Callable[[Callable[[Any], bool]], Sequence[Any]]) -> None:
        """start(on_token): starts the library, and returns its results, which have done() and result()."""
        self._gate = _Gate()
        self._results = start(self._gate.on_token)
        # Also at the end of the process: the library would wait for its thread, and the thread would wait
        # here.
        self._end = weakref.finalize(self, self._gate.stop, self._results)

    def wait(self) -> None:
        """Waits until the first tokens are chosen. Raises the library's error."""
        while not self._gate.begun.wait(_LOOK):
            if all(result.done() for result in self._results):
                self.finish()
                return

    def finish(self) -> list[Any]:
        """The results of all rows. Raises the library's error."""
        self._gate.goes_on.set()
        self._end.detach()
        return [result.result() for result in self._results]

    def stop(self) -> None:
        """Ends the answers at their last token; does nothing if they are finished."""
        self._end()


class _Gate:
    """Blocks the library's thread. It holds no answers, so that these can be freed while the thread waits."""

    def __init__(self) -> None:
        self.begun, self.goes_on, self._stopped = Event(), Event(), False

    def on_token(self, _step: object) -> bool:
        """Waits at the first row's first token, because all rows' are chosen by then. True ends the row."""
        if not self.begun.is_set():
            self.begun.set()
            self.goes_on.wait()
        return self._stopped

    def stop(self, results: Sequence[Any]) -> None:
        """Ends all rows, and waits until they have ended."""
        self._stopped = True
        self.goes_on.set()
        for result in results:
            result.result()
