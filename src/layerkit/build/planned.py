"""What the zips of a target will hold: packages prepared, made to fit where they do not, and planned."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from layerkit.build.brought import opts
from layerkit.build.mending import mending, mends_of_wheels
from layerkit.layer import last_division
from layerkit.preparation import prepare_wheels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layerkit.container.question import Question
    from layerkit.dockerfiles import OptLayer
    from layerkit.layer.function_code import FunctionCode
    from layerkit.lock import Lock, LockedPackage
    from layerkit.plan import Plan
    from layerkit.prepare import PreparedWheel
    from layerkit.project import Project
    from layerkit.session import Session


class Planned(Struct, frozen=True, kw_only=True):
    """A plan with what it was made from; `lock` includes the project's own wheel where a layer has it.

    `again` makes anew what was remade of prepared wheels so that stacks fit, where that was done.
    `opts` are what Dockerfiles bring into layers, by layer.
    """

    lock: Lock
    plan: Plan
    prepared: Mapping[str, PreparedWheel]
    code: tuple[FunctionCode, ...]
    opts: Mapping[str, OptLayer]
    again: Callable[[], Planned] | None = None


def planned(
    session: Session,
    lock: Lock,
    own: LockedPackage | None,
    code: tuple[FunctionCode, ...] = (),
    asked: Sequence[Question] = (),
) -> Planned:
    """Prepare what the layers hold, and plan them."""
    from layerkit.plan import plan

    # Of large files that move there have to be bytes, and what is checked inside an image is composed twice.
    whole = session.project.over_limit.mode != "error" or session.engines.all_inside
    lock, prepared = held_wheels(session, lock, own, whole=whole)
    brought = opts(session, lock.target, asked) if asked else {}
    sizes = {one.function: one.size for one in code}
    if session.project.over_limit.mode != "error":
        return _fitted(session, lock, prepared, sizes, code, brought)
    before, _ = last_division.read(session.project, lock.target.key)
    made = plan(session.project, lock, prepared, sizes, before, brought)
    return Planned(lock=lock, plan=made, prepared=prepared, code=code, opts=brought)


def held_wheels(
    session: Session, lock: Lock, own: LockedPackage | None, *, whole: bool = False
) -> tuple[Lock, dict[str, PreparedWheel]]:
    """Return the lock with the project's own wheel, and every package prepared that a layer holds.

    Unless they have to be `whole`, what is known of them is enough where other machines prepared them.
    """
    from layerkit.plan.closure import held

    if own is not None:
        others = (package for package in lock.packages if package.name != own.name)
        lock = replace(lock, packages=tuple(sorted((*others, own), key=lambda package: package.name)))
    names = held(session.project, lock)
    packages = [one for one in lock.packages if one.name in names]
    return lock, prepare_wheels(session, lock.target, packages, whole=whole)


def _fitted(
    session: Session,
    lock: Lock,
    prepared: Mapping[str, PreparedWheel],
    sizes: Mapping[str, int],
    code: tuple[FunctionCode, ...],
    opts: Mapping[str, OptLayer],
) -> Planned:
    """Plan with large files out of the way where a stack would not fit, and say what starting takes then."""
    from layerkit.overlimit.fit import fit
    from layerkit.overlimit.measure import measured
    from layerkit.plan import plan

    def prepare(packages: Sequence[LockedPackage]) -> Mapping[str, PreparedWheel]:
        return prepare_wheels(session, lock.target, packages)

    def again(name: str) -> None:
        prepare([package for package in lock.packages if package.name == name])

    project = session.project
    taken = _taken(project, sizes, opts)
    fitted = mending(
        mends_of_wheels(session, prepared, again),
        lambda: fit(project, lock, prepared, taken, session.store, prepare),
    )
    before, _ = last_division.read(project, lock.target.key)
    made = plan(project, fitted.lock, fitted.prepared, sizes, before, opts)
    if project.over_limit.mode == "bundle" and (found := _slowest(made, fitted.prepared)):
        name, moved = found
        session.talk(f"{lock.target.key}: {name}: {measured(moved, session.store)}")
    return Planned(
        lock=fitted.lock,
        plan=replace(made, notes=(*made.notes, *fitted.notes)),
        prepared=fitted.prepared,
        code=code,
        opts=opts,
        again=partial(_fitted, session, lock, prepared, sizes, code, opts),
    )


def _taken(project: Project, sizes: Mapping[str, int], opts: Mapping[str, OptLayer]) -> dict[str, int]:
    """Return the bytes of each stack that lie in no package: code, and what Dockerfiles bring."""
    brought = {
        stack.name: sum(opts[name].unzipped for name in stack.layers if name in opts)
        for stack in project.stacks
    }
    return {name: sizes.get(name, 0) + brought.get(name, 0) for name in {*sizes, *brought}}


def _slowest(plan: Plan, prepared: Mapping[str, PreparedWheel]) -> tuple[str, list[PreparedWheel]] | None:
    """Return the stack that has most to unpack when it starts, and the wheels that it unpacks."""
    moved = {
        stack.name: [
            prepared[name]
            for layer in stack.layers
            for name in plan.layer(layer).packages
            if prepared[name].unpacked
        ]
        for stack in plan.stacks
    }
    name = max(moved, key=lambda each: sum(wheel.unpacked for wheel in moved[each]), default="")
    return (name, moved[name]) if name and moved[name] else None
