"""The checks before layers are called done: over a plan, and over finished zips, ours or anybody's.

`check_plan` looks at every stack of a plan with nothing but the lock. `check_zips` believes no
plan and no manifest: it opens the zips again and reads what is in them, as a function would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from layerkit.check.findings import CODES, Finding, Report, Subject, finding, report
from layerkit.check.opt_check import installed_by
from layerkit.check.requirements_check import Installed, brought, check_stack

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from layerkit.archive import Entry
    from layerkit.check.zip_check import ReadZip
    from layerkit.dockerfiles import OptLayer
    from layerkit.lock import Lock
    from layerkit.plan import Plan, PlannedLayer
    from layerkit.target import Target

__all__ = [
    "CODES",
    "Finding",
    "Installed",
    "Report",
    "Subject",
    "brought",
    "check_plan",
    "check_stack",
    "check_zips",
    "finding",
]


def check_plan(
    plan: Plan,
    lock: Lock,
    never: Iterable[str] = (),
    opts: Mapping[str, OptLayer] | None = None,
    files: Mapping[str, Sequence[Entry]] | None = None,
) -> Report:
    """Check what every stack of the plan would have on Lambda: requirements and versions.

    `opts` are what Dockerfiles bring into layers, by layer: the packages in it count like others.
    With the `files` of each layer it is also told where one of them hides another layer's.
    What the plan left out, and what is in `never`, is missed with a warning. A finding that
    holds for some of the stacks only names them.
    """
    inside = {layer.name: _locked(layer, lock) for layer in plan.layers}
    unreadable: list[Finding] = []
    for name, opt in (opts or {}).items():
        packages, faults = installed_by(opt, lock.target)
        inside[name] += packages
        unreadable += faults
    absent = dict.fromkeys(never, "the project never deploys it")
    absent |= {each.name: each.reason for each in plan.left_out}
    runtime = brought(lock.target, lock)
    found: dict[Finding, list[str]] = {}
    for stack in plan.stacks:
        installed = [each for name in stack.layers for each in inside[name]]
        hidden = _hidden(stack.layers, files) if files else ()
        for each in dict.fromkeys((*check_stack(installed, runtime, absent), *hidden)):
            found.setdefault(each, []).append(stack.name)
    subjects = [
        Subject(name=one.name, zipped=one.zipped, unzipped=one.unzipped, packages=len(inside[one.name]))
        for one in plan.layers
    ]
    return report(plan.target_key, subjects, [*unreadable, *_placed(found, len(plan.stacks))])


def _locked(layer: PlannedLayer, lock: Lock) -> list[Installed]:
    """Return the packages of the lock that lie in a layer."""
    locked = {package.name: package for package in lock.packages}
    return [
        Installed(name=name, version=locked[name].version, requires=locked[name].requires, layer=layer.name)
        for name in layer.packages
    ]


def _hidden(layers: Iterable[str], files: Mapping[str, Sequence[Entry]]) -> Iterable[Finding]:
    """Return the findings about files that a later layer hides."""
    from layerkit.check.zip_check import path_collisions

    return path_collisions({name: files[name] for name in layers})


def _placed(found: Mapping[Finding, Sequence[str]], stacks: int) -> Iterable[Finding]:
    """Yield the findings, with the names of their stacks where these are not all of them."""
    for each, names in found.items():
        yield each if len(names) == stacks else replace(each, where=f"{', '.join(names)}: {each.where}")


def check_zips(
    paths: Sequence[Path],
    target: Target,
    runtime_packages: Sequence[Installed],
    *,
    function: Path | None = None,
    absent: Mapping[str, str] | None = None,
) -> Report:
    """Open finished zips and check them as one function's layers, the lowest first.

    `function` is the zip of the function's own code; `absent` names packages that are left out
    on purpose, with the reason. A zip that the strict reader refuses is a finding of its own.
    """
    from layerkit.archive.problems import escaped
    from layerkit.check.sdk_check import check_pairs, check_sdk
    from layerkit.check.search_path import places
    from layerkit.check.zip_check import check_files, read_zip, stack_files

    names = [path.name for path in (*paths, *([function] if function else []))]

    def read(path: Path, *, code: bool) -> ReadZip:
        # Zips of one name, from several folders, are told apart by their paths.
        name = path.name if names.count(path.name) == 1 else str(path)
        return read_zip(path, target, code=code, name=escaped(name))

    layers = [read(path, code=False) for path in paths]
    code = [read(function, code=True)] if function else []
    every = [*layers, *code]
    findings = [each for one in every for each in one.findings]
    installed = [each for one in every for each in one.packages]
    findings += check_stack(installed, runtime_packages, absent)
    findings += check_sdk(places(stack_files(layers, code), target), installed, target)
    findings += check_pairs(installed, runtime_packages, target)
    findings += check_files(layers, code, target)
    return report(target.key, [one.subject() for one in every], findings)
