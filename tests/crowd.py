"""A Dask cluster on the loopback: a scheduler and workers, each a process in a folder of its own.

with Crowd(folder, workers=2, environment={...}) as crowd:
    crowd.address          # for --scheduler
    crowd.kill(0)          # SIGKILL, and nobody starts it again
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

_LONGEST = 60.0


class Crowd:
    """The processes, from `with` to the end of the block."""

    def __init__(
        self, folder: Path, *, workers: int = 2, environment: Mapping[str, str] | None = None
    ) -> None:
        """Name the folder that theirs lie in, how many work, and what their environment has in addition."""
        self.folder, self.count = folder, workers
        self.environment = dict(environment or {})
        self.address = ""
        self._scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        """Start the scheduler, then the workers; wait until all of them are known to it."""
        try:
            contact = self.folder / "scheduler.json"
            options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show"]
            self._scheduler = self._start(
                "scheduler", "dask_scheduler", *options, "--scheduler-file", str(contact)
            )
            self.address = _address(contact, self._scheduler)
            for number in range(self.count):
                self.add(f"worker-{number}")
            self._all_there()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End them all."""
        started = [*self.workers, *([self._scheduler] if self._scheduler else [])]
        for one in started:
            one.kill()
        for one in started:
            one.wait(_LONGEST)

    def add(self, name: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start one more worker."""
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0", "--name", name]
        worker = self._start(name, "dask_worker", self.address, *options, **environment)
        self.workers.append(worker)
        return worker

    def kill(self, number: int) -> None:
        """End a worker as the kernel does when memory is short."""
        os.kill(self.workers[number].pid, signal.SIGKILL)
        self.workers[number].wait(_LONGEST)

    def names(self) -> set[str]:
        """Return the workers that the scheduler knows."""
        with self._client() as client:
            return {str(one["name"]) for one in client.scheduler_info(n_workers=-1)["workers"].values()}

    def said(self, name: str) -> str:
        """Return what a process printed."""
        return (self.folder / name / "log").read_text()

    def _start(self, name: str, program: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a program of distributed's in a folder of its own, with a home and a store in it."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        own = {"HOME": str(folder), "LAYERKIT_CACHE": str(folder / "store"), "TMPDIR": str(folder)}
        own["UV_CACHE_DIR"] = str(folder / "uv")
        dask = {"DASK_TEMPORARY_DIRECTORY": str(folder), "PYTHONWARNINGS": "ignore"}
        with (folder / "log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{program}", *arguments],
                cwd=folder,
                env={**os.environ, **own, **dask, **self.environment, **environment},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def _client(self) -> Any:
        from distributed import Client

        connect: Any = Client  # it has types for some of what it does
        return connect(self.address, set_as_default=False)

    def _all_there(self) -> None:
        with self._client() as client:
            client.wait_for_workers(self.count, timeout=_LONGEST)


def _address(contact: Path, process: subprocess.Popen[bytes]) -> str:
    """Return where the scheduler listens, as it writes down itself."""
    import json

    end = time.monotonic() + _LONGEST
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError, ValueError):
            return str(json.loads(contact.read_text())["address"])
        time.sleep(0.05)
    raise RuntimeError("the scheduler does not start")
