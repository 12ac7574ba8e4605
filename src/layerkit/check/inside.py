"""A look inside: finished zips laid down in the runtime's image, where pip and the imports have their say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from layerkit.check.findings import report
from layerkit.check.in_image import Subject, judge, look
from layerkit.check.modules import Module, stack_modules
from layerkit.check.zip_check import read_zip
from layerkit.container.stage import Limits, open_stage
from layerkit.target import facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from layerkit.check.findings import Report
    from layerkit.container.images import Image
    from layerkit.container.stage import Stage
    from layerkit.engines import Engines
    from layerkit.target import Target

_WHY = "checks inside the image were asked for"
_PROOF = "boto3"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFiles:
    """The zips of one function: its layers, the lowest first, its code, and what is left out on purpose."""

    name: str
    layers: Sequence[Path]
    code: Path | None = None
    absent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """How to look inside: on which engine, in which images (as configured), within which limits.

    `may_fail` names modules that need not import. `pip_wheel` gives the path and the name of a wheel
    of pip for a target whose image has none.
    """

    engines: Engines
    images: Mapping[str, str]
    limits: Limits
    may_fail: frozenset[str]
    pip_wheel: Callable[[Target], tuple[Path, str]]
    talk: Callable[[str], None]
    offline: bool = False


def look_inside(
    inside: Inside, target: Target, stacks: Iterable[tuple[StackFiles, Report]], why: str = _WHY
) -> list[tuple[str, Report]]:
    """Return each stack's report with what was found in the image.

    A stack with a zip that the strict reader refused goes into no container. Raises EngineError where
    there is no engine or image, or the image cannot run what looks.
    """
    from layerkit.container.images import ready, reference

    pairs = list(stacks)
    if all(map(_refused, (one for _, one in pairs))):
        return [(files.name, one) for files, one in pairs]
    rooms = inside.engines.need(target.key, why)
    wanted = reference(target, "run", inside.images)
    image = ready(rooms.engine, wanted, target.arch, inside.talk, offline=inside.offline)
    stage = open_stage(rooms, image, target, inside.limits)
    if not stage.has_pip:
        stage.bring_pip(*inside.pip_wheel(target))
    return [
        (files.name, one if _refused(one) else _looked(inside, target, image, stage, files, one))
        for files, one in pairs
    ]


def _refused(one: Report) -> bool:
    return any(each.code == "archive" for each in one.findings)


def _looked(
    inside: Inside, target: Target, image: Image, stage: Stage, files: StackFiles, before: Report
) -> Report:
    """Lay one stack down, look at it, and add what was found to its report."""
    modules = stack_modules(files.layers, files.code, target)
    if not any(one.name == _PROOF for one in modules) and target.sdk:
        # What the layers bring must not break the SDK that the runtime brings.
        modules = (*modules, Module(name=_PROOF, zip=f"the {target.runtime} runtime", package=_PROOF))
    inside.talk(f"{target.key}: stack {files.name}: importing {len(modules)} modules in {image.reference}")
    seen = stage.see(files.layers, files.code, [one.name for one in modules])
    zips = [(path, False) for path in files.layers] + ([(files.code, True)] if files.code else [])
    brought = {name.replace("_", "-") for name in facts()["brings"]["value"]}
    subject = Subject(
        target=target,
        modules=modules,
        packages=[each for path, code in zips for each in read_zip(path, target, code=code).packages],
        absent={name: why for name, why in files.absent.items() if name not in brought},
        may_fail=inside.may_fail,
        limits=inside.limits,
    )
    findings = (*before.findings, *judge(image, seen, subject))
    return report(before.target_key, before.subjects, findings, look(image, seen, subject))
