"""Stopping in good order when the system or the user asks for it."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """A request to stop after the micrograph in hand.

    Parameters
    ----------
    at_most : int, optional
        Stop when so many micrographs are denoised, not counting those done before.

    Attributes
    ----------
    signal : signal.Signals or None
        What asked for it; None while nothing did.
    done : int
        How many are denoised; whoever denoises them counts.
    """

    def __init__(self, at_most: int | None = None) -> None:
        self.signal: signal.Signals | None = None
        self.at_most = at_most
        self.done = 0

    def __bool__(self) -> bool:
        """Whether to stop."""
        return self.signal is not None or self.may_be_enough(0)

    def may_be_enough(self, in_work: int) -> bool:
        """Whether no more are wanted if those in work come out well."""
        return self.at_most is not None and self.done + in_work >= self.at_most

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that such a signal ended: 143 or 130; 0 without."""
        return 0 if self.signal is None else 128 + self.signal

    def request(self, number: int = signal.SIGTERM) -> None:
        """Ask to stop, as the signal `number` does."""
        self.signal = self.signal or signal.Signals(number)

    @contextmanager
    def on_signals(self, numbers: Sequence[signal.Signals] = _SIGNALS) -> Iterator[None]:
        """Let the first signal in the block be a request, and a second one end the process.

        To be used in the main thread.
        """
        before = {number: signal.getsignal(number) for number in numbers}

        def handle(number: int, frame: FrameType | None) -> None:
            self.request(number)
            for each in numbers:  # the system's own way: at once, whatever the process is doing
                signal.signal(each, signal.SIG_DFL)

        for number in numbers:
            signal.signal(number, handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
