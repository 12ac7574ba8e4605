"""Where wheels are prepared: as many threads as there are cores, and as many compilers.

All wheels of a target share one workshop. What is spread over its threads is a batch of files at a time,
so a single large wheel keeps all cores busy as well. Inflating, hashing and compressing let other
threads run, and compilers are processes of their own.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from layerkit.cores import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from layerkit.bytecode.compiler import Compiles, Source

T = TypeVar("T")
R = TypeVar("R")


class Workshop:
    """Threads and compilers, to be used in a `with` block, which ends them."""

    def __init__(self, start: Callable[[], Compiles] | None = None, *, threads: int | None = None) -> None:
        """Keep how a compiler is started; none is before something is to be compiled."""
        self._start = start
        self.threads = threads or cores()
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="layerkit")
        self._idle: SimpleQueue[Compiles] = SimpleQueue()
        self._running = ExitStack()

    def __enter__(self) -> Self:
        """Return the same."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End threads and compilers; what nobody began is left."""
        self._pool.shutdown(cancel_futures=True)
        self._running.close()

    def spread(self, work: Callable[[T], R], things: Iterable[T]) -> list[R]:
        """Do the work on all things, on all cores, and return what it gave in their order."""
        return list(self._pool.map(work, things))

    def compile(self, sources: Sequence[Source]) -> list[bytes | None]:
        """Return bytecode for sources that belong together, None for those that no compiler takes."""
        if self._start is None or not sources:
            return [None] * len(sources)
        try:
            compiler = self._idle.get_nowait()
        except Empty:
            compiler = self._running.enter_context(self._start())
        found = compiler.compile(sources)
        self._idle.put(compiler)
        return found
