"""One target from a project to its zips: the steps in order, each a call to a floor below."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

from msgspec import to_builtins

from layerkit.build.brought import asked, code
from layerkit.build.planned import planned
from layerkit.build.writing import write
from layerkit.built import Built, manifest_path
from layerkit.engines import INSIDE
from layerkit.layer import last_division, standing
from layerkit.output import alone, write_bytes
from layerkit.preparation import means
from layerkit.session import lock_target, own_package
from layerkit.slim.table import text as slim_table
from layerkit.source_date import refuse_garbage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from layerkit.archive import Entry
    from layerkit.build.planned import Planned
    from layerkit.check.findings import Report
    from layerkit.container.question import Question
    from layerkit.dockerfiles import OptLayer
    from layerkit.plan import Plan
    from layerkit.project import Project
    from layerkit.session import Session
    from layerkit.target import Target


def plan_target(session: Session, target: Target, *, locked: bool = False) -> Plan:
    """Return what would go into which layer, and why; writes no zip."""
    lock = lock_target(session, target, renew=not locked)
    own = own_package(session, target)
    return planned(session, lock, own, code(session), asked(session, target)).plan


def build_target(session: Session, target: Target, *, locked: bool = False) -> Built:
    """Build the layers of one target, unless an earlier build still stands.

    Raises CheckFailedError before anything is written when a stack is not whole, UsageError for a
    SOURCE_DATE_EPOCH that is none.
    """
    refuse_garbage(os.environ)
    project = session.project
    lock = lock_target(session, target, renew=not locked)
    own = own_package(session, target)
    own_code = code(session)
    path, state = manifest_path(project, target), project.lock_folder / f"{target.key}.state.json"
    questions = asked(session, target)
    digests = [
        lock.digest,
        own.wheel.sha256 if own else "",
        _settings(project),
        means(session, target).who,
        "inside" if session.engines.all_inside else "",
        str(target.seen),
        *(one.digest() for one in own_code),
    ]
    key = standing.build_key(*digests, *_keys(questions), last_division.read(project, target.key)[1])
    if all(one.key for one in questions) and standing.current(path, state, key):
        from layerkit.layer.manifest import read

        return Built(manifest=read(path), path=path, unchanged=True, engine=session.engines.use(target.key))
    plan = planned(session, lock, own, own_code, questions)
    report = _checked(session, plan)
    if session.engines.all_inside:
        _check_inside(session, plan, report, path.name)
    # Two builds into one folder must not remember each other's files.
    with alone(project.lock_folder / f"{target.key}.busy"):
        manifest = write(session, plan, report, path)
        division = last_division.write(project, plan.plan)
        key = standing.build_key(*digests, *_keys(plan.opts.values()), division)
        standing.remember(state, key, (path, *(path.parent / name for name in manifest.files())))
    _keep_out_of_git(project.lock_folder)
    return Built(manifest=manifest, path=path, unchanged=False, engine=session.engines.use(target.key))


def build_targets(session: Session, *, locked: bool = False) -> list[Built]:
    """Build all targets side by side, where others do the work; the first failure is raised."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(session.targets)) as pool:
        work = [pool.submit(build_target, session, target, locked=locked) for target in session.targets]
        try:
            return [one.result() for one in work]
        except BaseException:
            if session.cluster:
                session.cluster.stop()
            raise


def build_again(session: Session, target: Target) -> Built:
    """Build the layers of one target from its lock, whatever stands already, and remember nothing of it."""
    lock = lock_target(session, target, renew=False)
    plan = planned(session, lock, own_package(session, target), code(session), asked(session, target))
    path = manifest_path(session.project, target)
    manifest = write(session, plan, _checked(session, plan), path)
    return Built(manifest=manifest, path=path, unchanged=False, engine=session.engines.use(target.key))


def _keep_out_of_git(folder: Path) -> None:
    """Let version control see the locks alone: all else beside them is this machine's."""
    ignore = folder / ".gitignore"
    if not ignore.exists():
        write_bytes(ignore, b"/*.state.json\n/*.busy\n/logs/\n/wheels/\n/.gitignore\n")


def _keys(opts: Iterable[Question | OptLayer]) -> list[str]:
    """Return what decides the files that Dockerfiles bring."""
    return [f"{one.layer} {one.dockerfile} {one.key}" for one in opts]


def _settings(project: Project) -> str:
    """Return the digest of what the project says about layers, beyond what the lock answers."""
    said = {
        "name": (project.name, project.version),
        "layers": [
            (layer.name, layer.project, layer.divided, [r.text for r in layer.requirements])
            for layer in project.layers
        ],
        "functions": [(one.name, one.layers, one.code is not None) for one in project.functions],
        "stacks": [(one.name, one.layers) for one in project.stacks],
        "layout": project.layout,
        "never": sorted(project.never),
        "collisions": sorted(project.collisions.items()),
        "alone": project.self_contained,
        "notes": project.notes,
        "slim": (slim_table(), to_builtins(project.slim), project.aws_services),
        "strip": project.strip,
        "bytecode": project.bytecode,
        "over-limit": to_builtins(project.over_limit),
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _checked(session: Session, plan: Planned) -> Report:
    """Check every stack as it would lie on Lambda, before anything is written."""
    from layerkit.check import check_plan

    files = _files(plan) if plan.opts else None
    report = check_plan(plan.plan, plan.lock, session.project.never, plan.opts, files)
    report.raise_for_errors()
    return report


def _check_inside(session: Session, plan: Planned, report: Report, name: str) -> None:
    """Check the zips as they will be, in the runtime's image, before they are written where they belong."""
    import tempfile
    from pathlib import Path

    from layerkit.check import brought
    from layerkit.check.inside import check_stacks, inside_of, stack_files
    from layerkit.container.stage import Limits
    from layerkit.project.specs import CheckRules

    target = plan.lock.target
    inside = inside_of(
        session.engines, Limits(), session.talk, project=session.project, offline=session.offline
    )
    with tempfile.TemporaryDirectory(prefix="layerkit-") as folder:
        manifest = write(session, plan, report, Path(folder, name))
        stacks = stack_files(manifest, Path(folder))
        found = check_stacks(stacks, target, brought(target, plan.lock), inside, INSIDE)
    # What `check` shall pass over hinders no build either.
    rules = CheckRules(ignore=session.project.check.ignore)
    found = [(stack, one.under(rules)) for stack, one in found]
    for stack, one in found:
        for each in one.warnings:
            session.talk(f"{target.key}: stack {stack}: {each}")
    for _, one in found:
        one.raise_for_errors()


def _files(plan: Planned) -> dict[str, list[Entry]]:
    """Return the files of each layer, a path once for each that brings it."""
    from layerkit.archive import Run

    return {
        layer.name: [
            entry
            for run in (
                *(plan.prepared[name].run() for name in layer.packages),
                *(Run.open(opt.path) for opt in (plan.opts.get(layer.name),) if opt),
            )
            for entry in run.names()
        ]
        for layer in plan.plan.layers
    }
