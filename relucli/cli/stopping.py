"""Signals to stop, as an exception that undoes the work in progress on its way up, and does not get lost."""

from __future__ import annotations

import _thread
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["WORDS", "Stopped", "listen", "received", "stoppable"]

WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
if hasattr(signal, "SIGHUP"):  # not on Windows
    WORDS[signal.SIGHUP] = "the terminal has gone"
REMIND = 0.1

received: list[int] = []
"""The signals to stop that came."""

_working = False


class Stopped(BaseException):
    """A signal to stop: the work in progress is undone on the way up."""


@contextmanager
def stoppable() -> Iterator[None]:
    """While it lasts, a signal to stop raises `Stopped`; before and after, it is only noted."""
    global _working
    _working = True
    try:
        yield
    finally:
        _working = False


def listen() -> None:
    """Answer the signals to stop, but for those that are ignored, as nohup and shells in the background want it."""
    for number in WORDS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)
    sys.unraisablehook = _dropped


def _stop(number: int, frame: FrameType | None) -> None:
    """Stop, unless that is what is being done: whatever undoes work does so while an exception is handled."""
    if not received:
        _thread.start_new_thread(_remind, (_thread.get_ident(), number))
    received.append(number)
    if _working and sys.exception() is None:
        raise Stopped


def _remind(thread: int, number: int) -> None:
    """Repeat a signal to the main thread: destructors, and calls from C, drop exceptions that they meet."""
    while True:
        time.sleep(REMIND)
        signal.pthread_kill(thread, number)


def _dropped(what: Any) -> None:
    """Say nothing of an exception that was dropped, if it was ours: it will come again."""
    if not issubclass(what.exc_type, Stopped):
        sys.__unraisablehook__(what)
