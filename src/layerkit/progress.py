"""How far downloads and uploads are: a bar on a terminal, one line elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from layerkit.wording import plural

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from layerkit.fetch.download import Progress


def progress(*, quiet: bool, doing: str = "downloading", what: str = "wheel") -> Progress:
    """Return who shows what is under way, as stderr can take it."""
    if quiet:
        return _Quiet()
    return _Terminal(doing, what) if sys.stderr.isatty() else _Lines(doing, what)


class _Quiet:
    """Shows nothing."""

    def start(self, total_bytes: int | None, count: int) -> None:
        """Show nothing."""

    def advance(self, count: int) -> None:
        """Show nothing."""

    def done(self) -> None:
        """Show nothing."""


class _Lines(_Quiet):
    """Says once what is under way: logs of CI jobs have no room for bars."""

    def __init__(self, doing: str, what: str) -> None:
        """Keep the words for it."""
        self._doing, self._what = doing, what

    def start(self, total_bytes: int | None, count: int) -> None:
        """Say how many there are."""
        from layerkit.report import human

        size = f", {human(total_bytes)}" if total_bytes else ""
        sys.stderr.write(f"{_words(self._doing, count, self._what)}{size}\n")


class _Terminal:
    """A bar of rich, gone when all is done."""

    def __init__(self, doing: str, what: str) -> None:
        """Draw nothing before there is something to wait for."""
        self._doing, self._what = doing, what
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def start(self, total_bytes: int | None, count: int) -> None:
        """Draw the bar."""
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(_words(self._doing, count, self._what), total=total_bytes)
        self._bar.start()

    def advance(self, count: int) -> None:
        """Move the bar."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, count)

    def done(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()


def _words(doing: str, count: int, what: str) -> str:
    return f"{doing} {count} {plural(count, what)}"
