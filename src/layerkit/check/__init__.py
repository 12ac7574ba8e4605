"""The checks before layers are called done: over a plan, and over finished zips, ours or anybody's.

`check_plan` looks at every stack of a plan with nothing but the lock. `check_zips` believes no
plan and no manifest: it opens the zips again and reads what is in them, as a function would.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from layerkit.check.findings import CODES, Finding, Report, Subject, finding, report
from layerkit.check.requirements_check import Installed, brought, check_stack

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from layerkit.lock import Lock
    from layerkit.plan import Plan
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


def check_plan(plan: Plan, lock: Lock, never: Iterable[str] = ()) -> Report:
    """Check what every stack of the plan would have on Lambda: requirements and versions.

    What the plan left out, and what is in `never`, is missed with a warning. A finding that
    holds for some of the stacks only names them.
    """
    locked = {package.name: package for package in lock.packages}
    inside = {
        layer.name: [
            Installed(
                name=name, version=locked[name].version, requires=locked[name].requires, layer=layer.name
            )
            for name in layer.packages
        ]
        for layer in plan.layers
    }
    absent = dict.fromkeys(never, "the project never deploys it")
    absent |= {each.name: each.reason for each in plan.left_out}
    runtime = brought(lock.target, lock)
    found: dict[Finding, list[str]] = {}
    for stack in plan.stacks:
        installed = [each for name in stack.layers for each in inside[name]]
        for each in dict.fromkeys(check_stack(installed, runtime, absent)):
            found.setdefault(each, []).append(stack.name)
    subjects = [
        Subject(name=one.name, zipped=one.zipped, unzipped=one.unzipped, packages=len(one.packages))
        for one in plan.layers
    ]
    return report(plan.target_key, subjects, _placed(found, len(plan.stacks)))


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
    from layerkit.check.zip_check import check_files, read_zip

    layers = [read_zip(path, target, code=False) for path in paths]
    code = [read_zip(function, target, code=True)] if function else []
    every = [*layers, *code]
    findings = [each for one in every for each in one.findings]
    installed = [each for one in every for each in one.packages]
    findings += check_stack(installed, runtime_packages, absent)
    findings += check_files(layers, code, target)
    return report(target.key, [one.subject() for one in every], findings)
