"""Imports every module of a stack on this machine, in an interpreter of the runtime's version.

Kept in as `invoke` keeps a function in: read-only /opt and /var/task, a small /tmp, none of this machine's
variables and folders; and without any network. What decides is check/in_image.py, as for an image; what this
machine is not, a runtime with its own libraries, the report says.
"""

from __future__ import annotations

import json
import subprocess
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from layerkit.check.inside import looked, refused
from layerkit.container.images import Image
from layerkit.container.stage import probe_plan, read_answers
from layerkit.errors import UsageError
from layerkit.invoke.function import Folders, Function
from layerkit.invoke.layout import lay_layers, lay_zip
from layerkit.invoke.room import choose
from layerkit.invoke.runtime import install, interpreter
from layerkit.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerkit.check.findings import Report
    from layerkit.check.inside import StackFiles
    from layerkit.container.stage import Limits, Seen
    from layerkit.invoke.room import Room
    from layerkit.target import Target

_HERE = "this machine"
# What takes the network away from what a room's command starts, by the program that makes the room.
_ALONE = {"unshare": "--net", "bwrap": "--unshare-net"}


class Importing(Struct, frozen=True, kw_only=True):
    """How to import: within which limits, which modules need not, and where to say what is done."""

    limits: Limits
    may_fail: frozenset[str]
    talk: Callable[[str], None]
    offline: bool = False


def import_here(
    how: Importing, target: Target, pairs: Sequence[tuple[StackFiles, Report]]
) -> list[tuple[str, Report]]:
    """Return each stack's report with what came of its imports here.

    A stack with a zip that the strict reader refused is not unpacked. Raises UsageError where this
    machine has no such interpreter or cannot keep anything in.
    """
    if all(refused(one) for _, one in pairs):
        return [(stack.name, one) for stack, one in pairs]
    room = choose()
    if room.kind == "none":
        fix = "--in-image, or a machine with unshare or bwrap"
        raise UsageError(f"nothing here keeps foreign code in: {room.lacks.split(', so ')[0]}", fix=fix)
    store = Store.default()
    try:
        python = interpreter(target, store, offline=how.offline)
    except UsageError as error:
        raise UsageError(error.what, fix="install it, or ask the runtime's image: --in-image") from error
    runtime, packages = install(target, python, store, offline=how.offline)
    found = []
    for stack, before in pairs:
        if refused(before):
            found.append((stack.name, before))
            continue
        with TemporaryDirectory(prefix="layerkit-import-") as name:
            top = Path(name)
            folders = Folders(
                opt=top / "opt", task=top / "task", runtime=runtime, packages=packages, python=python
            )
            one = _imported(how, target, stack, before, room, folders)
        found.append((stack.name, one))
    return found


def _imported(
    how: Importing, target: Target, stack: StackFiles, before: Report, room: Room, folders: Folders
) -> Report:
    """Lay one stack down and import its modules."""
    top = folders.opt.parent
    top.chmod(0o755)  # in the room it is another user who looks
    for folder in (folders.opt, folders.task, top / "root"):
        folder.mkdir()
    lay_layers(stack.layers, folders.opt)
    if stack.code:
        lay_zip(stack.code, folders.task)

    def see(modules: Sequence[str]) -> Seen:
        return _seen(how, target, modules, room, folders)

    image = Image(reference=_HERE, id=_HERE, digest=f"{room.kind}, no network", arch=target.arch)
    found = looked(image, see, stack, before, target, how.limits, how.may_fail, how.talk)
    # That this machine has another glibc than the runtime is no fault of the stack: it is only said.
    for one in found.findings:
        if one.code == "image-differs":
            how.talk(f"{target.key}: {_HERE}: {one.text}")
    return replace(found, findings=tuple(one for one in found.findings if one.code != "image-differs"))


def _seen(how: Importing, target: Target, modules: Sequence[str], room: Room, folders: Folders) -> Seen:
    """Run the probe in the room, and read what it says."""
    function = Function(target=target, limits=how.limits)
    source = files("layerkit.container").joinpath("inside/probe.py").read_text(encoding="utf-8")
    asked = probe_plan(target, modules, how.limits) | {"pip": False}
    probe = ("-c", f"__file__ = '/layerkit/probe.py'\n{source}", json.dumps(asked))
    program, *rest = room.command(
        function, folders, folders.opt.parent / "root", [target.interpreter, *probe]
    )
    done = subprocess.run(  # noqa: S603 - our own words, in a room
        [program, _ALONE[program], *rest],
        env=room.variables(function, folders, ""),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return read_answers(done.stdout or done.stderr, _HERE)
