"""Imports modules in the runtime's image as a function would, and runs `pip check` there.

    python probe.py PLAN          PLAN is JSON, the answers are one JSON document a line on stdout

The image's own interpreter runs this, whichever it is: Python 3.6 to 3.14, the standard library and
nothing else, no annotation that is evaluated. Every module is imported in a process of its own, forked
from one that has Lambda's sys.path and nothing of the layers in memory: what one import does, breaks
or leaves behind touches no other, and the interpreter is started once.

Several are imported side by side, and each has the memory of a function to itself: whoever takes more is
stopped. Files in /tmp take memory here and none on Lambda, so the container has room for both. One that
the system kills may have met the others' memory; it is tried again alone, and what it says then counts.
"""

import contextlib
import functools
import importlib
import json
import os
import runpy
import select
import signal
import site
import sys
import sysconfig
import time
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NoReturn

_MOST_PRINTED = 65536
_LONGEST_ERROR = 2000
_SIDE_BY_SIDE = 4
_POLL_SECONDS = 0.02
_PIPE = 65536
_MOST_FILES = 256


class Child:
    """A forked process that does one thing: what it says of it, and what it printed meanwhile."""

    def __init__(self, name: str, work: "Callable[[], dict[str, Any]]") -> None:
        """Fork; the child never returns from here."""
        self.name = name
        self.began = time.monotonic()
        self.stopped: str | None = None
        self.answer = self.printed = b""
        self.answers, answer_to = os.pipe()
        self.prints, print_to = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            _be_child(work, answer_to, print_to)
        os.close(answer_to)
        os.close(print_to)
        for pipe in (self.answers, self.prints):
            os.set_blocking(pipe, False)

    def drain(self) -> None:
        """Read what the child wrote; of what it printed the end is kept."""
        self.answer += _read(self.answers)
        self.printed = (self.printed + _read(self.prints))[-_MOST_PRINTED:]

    def ended(self, timeout: float, memory: int) -> "dict[str, Any] | None":
        """Return the child's answer when it has one, else None; one that takes too much is killed."""
        self.drain()
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            if time.monotonic() - self.began > timeout:
                self.stopped = self.stopped or "time"
            elif memory_of(self.pid) > memory:
                self.stopped = self.stopped or "memory"
            if self.stopped:
                _kill_group(self.pid)
            return None
        _kill_group(self.pid)  # what it started goes with it
        self.drain()
        os.close(self.answers)
        os.close(self.prints)
        answer = _answer(self.answer)
        answer["module"] = self.name
        answer["seconds"] = round(time.monotonic() - self.began, 3)
        if os.WIFSIGNALED(status):
            answer.update(ok=False, signal=os.WTERMSIG(status), stopped=self.stopped)
        elif "ok" not in answer:
            answer["exit"] = os.WEXITSTATUS(status)
        answer["ok"] = answer.get("ok") is True
        if not answer["ok"]:
            answer["printed"] = self.printed.decode("utf-8", "replace")
        return answer


def _be_child(work: "Callable[[], dict[str, Any]]", answer_to: int, print_to: int) -> "NoReturn":
    """Do the work with all that is printed going to a pipe, say what came of it, and be gone."""
    code = 1
    try:
        os.setsid()
        _first_to_go()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(print_to, 1)
        os.dup2(print_to, 2)
        os.closerange(3, answer_to)
        os.closerange(answer_to + 1, _MOST_FILES)
        answer = work()
        os.write(answer_to, json.dumps(answer).encode())
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it was, it is told by what is printed
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
        finally:
            os._exit(code)


def memory_of(pid: int) -> int:
    """Return the bytes of memory that are a process's own: what it shares with files can be had again."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            _, resident, shared = file.read().split()[:3]
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def _answer(said: bytes) -> "dict[str, Any]":
    """Read a child's answer; one that the imported code wrote itself may be anything, or nothing."""
    try:
        answer = json.loads(said.decode())
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _first_to_go() -> None:
    """Where memory runs out, let this process be the one that is killed, and not its parent."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _kill_group(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def _read(pipe: int) -> bytes:
    """Return all that waits in a pipe."""
    parts = []
    with contextlib.suppress(BlockingIOError):
        part = os.read(pipe, _PIPE)
        while part:
            parts.append(part)
            part = os.read(pipe, _PIPE)
    return b"".join(parts)


def import_one(name: str) -> "dict[str, Any]":
    """Import one module and say whether it could be, and if not, what was missing in the end."""
    try:
        importlib.import_module(name)
    except BaseException as error:  # noqa: BLE001 - a module may raise SystemExit, too
        return {
            "ok": False,
            "error": last_line(error),
            "missing": missing(error),
            "kind": type(error).__name__,
        }
    return {"ok": True}


def last_line(error: BaseException) -> str:
    """Return the error's type and the last line of what it says, where long texts come to the point."""
    said = "".join(traceback.format_exception_only(type(error), error)).strip()
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    head = "" if len(lines) == 1 or isinstance(error, SyntaxError) else type(error).__name__ + ": "
    return (head + lines[-1])[:_LONGEST_ERROR]


def missing(error: "BaseException | None") -> "str | None":
    """Return the name of the module that was not found, behind whatever was raised because of it."""
    seen = []
    while error is not None and error not in seen:
        if isinstance(error, ModuleNotFoundError) and error.name:
            return error.name
        seen.append(error)
        error = error.__cause__ or error.__context__
    return None


def pip_check(pip: "str | None") -> "dict[str, Any]":
    """Run `pip check` in this process, with the pip of the image or the one in the wheel `pip`."""
    if pip:
        sys.path.append(pip)
    os.environ.update(PIP_CONFIG_FILE=os.devnull, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_CACHE_DIR="1")
    sys.argv = ["pip", "check"]
    code = 0
    try:
        runpy.run_module("pip", run_name="__main__", alter_sys=True)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    sys.stdout.flush()
    # 1 is "something is wrong, as printed"; anything above is pip's own failure.
    return {"ok": code == 0, "code": code, "version": _version_of_pip()}


def _version_of_pip() -> "str | None":
    return getattr(sys.modules.get("pip"), "__version__", None)


def imports(names: "list[str]", timeout: float, memory: int) -> "Iterator[dict[str, Any]]":
    """Yield an answer for each module: several at a time, those that were killed again and alone."""
    again = []
    for answer in _work_off(names, min(_SIDE_BY_SIDE, len(os.sched_getaffinity(0))), timeout, memory):
        if answer.get("signal") == signal.SIGKILL and not answer["stopped"]:
            again.append(answer["module"])
        else:
            yield answer
    for answer in _work_off(again, 1, timeout, memory):
        yield answer


def _work_off(names: "list[str]", at_once: int, timeout: float, memory: int) -> "Iterator[dict[str, Any]]":
    waiting = list(reversed(names))
    running: list[Child] = []
    while waiting or running:
        while waiting and len(running) < at_once:
            name = waiting.pop()
            running.append(Child(name, functools.partial(import_one, name)))
        select.select([child.answers for child in running], [], [], _POLL_SECONDS)
        for child in list(running):
            answer = child.ended(timeout, memory)
            if answer is not None:
                running.remove(child)
                yield answer


def put_on_path(folders: "dict[str, str]", version: "tuple[int, int]") -> None:
    """Give this process the sys.path of a function, and run the .pth files that Lambda's bootstrap runs."""
    own = os.path.dirname(os.path.abspath(__file__))
    packages = sysconfig.get_paths()["purelib"]
    runtime = folders["runtime"]
    rest = [entry for entry in sys.path if entry not in ("", own, runtime)]
    if version >= (3, 11):
        rest = [packages, runtime, *(entry for entry in rest if entry != packages)]
    else:
        rest = [runtime, *rest]
    sys.path[:] = [folders["task"], folders["site"], folders["opt"], *rest]
    for folder in (folders["task"], folders["site"], folders["opt"]):
        if os.path.isdir(folder):
            site.addsitedir(folder)


def about() -> "dict[str, Any]":
    """Return what the interpreter and the image under it are."""
    glibc = None
    with contextlib.suppress(AttributeError, OSError, ValueError):
        glibc = os.confstr("CS_GNU_LIBC_VERSION")
    return {
        "python": "{}.{}.{}".format(*sys.version_info[:3]),
        "glibc": glibc.rpartition(" ")[2] if glibc else None,
        "machine": os.uname().machine,
    }


def checked_by_pip(plan: "dict[str, Any]") -> "dict[str, Any]":
    """Run `pip check` in a process of its own."""
    check = Child("pip", lambda: pip_check(plan["pip"]))
    while True:
        select.select([check.answers], [], [], _POLL_SECONDS)
        answer = check.ended(plan["timeout"], plan["memory"])
        if answer is not None:
            return answer


def main() -> None:
    """Answer one plan."""
    plan = json.loads(sys.argv[1])
    # Nobody's import shall be able to write among the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def say(kind: str, document: "dict[str, Any]") -> None:
        answers.write(json.dumps({kind: document}) + "\n")
        answers.flush()

    try:
        put_on_path(plan["folders"], sys.version_info[:2])
    except BaseException as error:  # noqa: BLE001 - a .pth file may raise SystemExit: a function ends, too
        say("about", dict(about(), error=last_line(error)))
        say("end", {})
        return
    say("about", about())
    say("pip", checked_by_pip(plan) if plan["pip"] is not False else {"code": 0, "version": None})
    for answer in imports(plan["modules"], plan["timeout"], plan["memory"]):
        say("import", answer)
    say("end", {})


if __name__ == "__main__":
    main()
