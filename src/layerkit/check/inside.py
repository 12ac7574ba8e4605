"""A look inside: finished zips laid down in the runtime's image, where pip and the imports have their say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from layerkit.archive import Archive
from layerkit.check import Installed, check_zips
from layerkit.check.findings import report
from layerkit.check.in_image import Subject, judge, look
from layerkit.check.modules import Module, stack_modules
from layerkit.check.zip_check import packages
from layerkit.container.stage import Limits, open_stage
from layerkit.target import facts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layerkit.check.findings import Report
    from layerkit.container.images import Image
    from layerkit.container.stage import Seen, Stage
    from layerkit.engines import Engines
    from layerkit.layer.manifest import Manifest
    from layerkit.project import Project
    from layerkit.target import Target

    # Another way to look at stacks: it returns their reports with what was found.
    Look = Callable[[Target, Sequence[tuple["StackFiles", Report]]], list[tuple[str, Report]]]

_WHY = "checks inside the image were asked for"
_PROOF = "boto3"


class StackFiles(Struct, frozen=True, kw_only=True):
    """The zips of one function: its layers, the lowest first, its code, and what is left out on purpose."""

    name: str
    layers: Sequence[Path]
    code: Path | None = None
    absent: Mapping[str, str] = field(default_factory=dict)


class Inside(Struct, frozen=True, kw_only=True):
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


def inside_of(
    engines: Engines,
    limits: Limits,
    talk: Callable[[str], None],
    *,
    project: Project | None = None,
    offline: bool = False,
) -> Inside:
    """Return how to look inside; a project adds its images, its indexes and the modules that may fail."""
    return Inside(
        engines=engines,
        images=dict(project.containers.images) if project else {},
        limits=limits,
        may_fail=project.import_may_fail if project else frozenset(),
        pip_wheel=lambda target: _pip_wheel(target, project, offline=offline),
        talk=talk,
        offline=offline,
    )


def _pip_wheel(target: Target, project: Project | None, *, offline: bool) -> tuple[Path, str]:
    """Return path and name of the newest wheel of pip that the target's Python takes."""
    from layerkit.fetch import fetch
    from layerkit.fetch.credentials import Credentials
    from layerkit.lock.pick import pick
    from layerkit.lock.uv import Question, Uv
    from layerkit.store import Store

    folder, arguments = (project.root, project.index_arguments) if project else (Path.cwd(), ())
    store = Store.default()
    (found,) = Uv(target, store, folder, offline=offline).resolve(
        Question(requirements=("pip",), arguments=arguments)
    )
    wheel = pick(found, target).wheel
    fetch([wheel], store, credentials=Credentials.load(folder, arguments=arguments), offline=offline)
    return store.path("wheels", wheel.sha256, ".whl"), wheel.filename


def stack_files(manifest: Manifest, folder: Path) -> list[StackFiles]:
    """Return the stacks of a build whose zips lie in `folder`."""
    absent = {one.name: one.reason for one in manifest.left_out}
    files = {layer.name: folder / layer.zip.file for layer in manifest.layers}
    return [
        StackFiles(
            name=stack.name,
            layers=[files[name] for name in stack.layers],
            code=folder / stack.code.file if stack.code else None,
            absent=absent,
        )
        for stack in manifest.stacks
    ]


def check_stacks(
    stacks: Sequence[StackFiles],
    target: Target,
    runtime: Sequence[Installed],
    inside: Inside | Look | None,
    why: str = _WHY,
) -> list[tuple[str, Report]]:
    """Check stacks by their zips, and in the image where that is asked for; return (stack, report) pairs."""
    reports = [
        check_zips(one.layers, target, runtime, function=one.code, absent=one.absent) for one in stacks
    ]
    pairs = list(zip(stacks, reports, strict=True))
    if inside is None:
        return [(files.name, found) for files, found in pairs]
    return look_inside(inside, target, pairs, why) if isinstance(inside, Inside) else inside(target, pairs)


def look_inside(
    inside: Inside, target: Target, pairs: Sequence[tuple[StackFiles, Report]], why: str = _WHY
) -> list[tuple[str, Report]]:
    """Return each stack's report with what was found in the image.

    A stack with a zip that the strict reader refused goes into no container. Raises EngineError where
    there is no engine or image, or the image cannot run what looks.
    """
    from layerkit.container.images import ready, reference

    if all(map(refused, (one for _, one in pairs))):
        return [(files.name, one) for files, one in pairs]
    rooms = inside.engines.need(target.key, why)
    wanted = reference(target, "run", inside.images)
    image = ready(rooms.engine, wanted, target.arch, inside.talk, offline=inside.offline)
    stage = open_stage(rooms, image, target, inside.limits)
    if not stage.has_pip:
        stage.bring_pip(*inside.pip_wheel(target))
    return [
        (files.name, one if refused(one) else _looked(inside, target, image, stage, files, one))
        for files, one in pairs
    ]


def _installed(path: Path, target: Target, *, code: bool) -> list[Installed]:
    with Archive.open(path) as archive:
        return [one for one in packages(archive, target, code=code) if isinstance(one, Installed)]


def refused(one: Report) -> bool:
    """Say whether a zip of the stack is one that nobody here unpacks: refused, or with links."""
    return any(each.code in ("archive", "symbolic-link") for each in one.findings)


def _looked(
    inside: Inside, target: Target, image: Image, stage: Stage, files: StackFiles, before: Report
) -> Report:
    """Lay one stack down in an image, look at it, and add what was found to its report."""

    def see(modules: Sequence[str]) -> Seen:
        return stage.see(files.layers, files.code, modules)

    return looked(image, see, files, before, target, inside.limits, inside.may_fail, inside.talk)


def looked(  # noqa: PLR0917 - whichever way is looked, all of it decides
    image: Image,
    see: Callable[[Sequence[str]], Seen],
    files: StackFiles,
    before: Report,
    target: Target,
    limits: Limits,
    may_fail: frozenset[str],
    talk: Callable[[str], None],
) -> Report:
    """Have `see` import a stack's modules, and add what was found to its report."""
    modules = stack_modules(files.layers, files.code, target)
    if not any(one.name == _PROOF for one in modules) and target.sdk:
        # What the layers bring must not break the SDK that the runtime brings.
        modules = (*modules, Module(name=_PROOF, zip=f"the {target.runtime} runtime", package=_PROOF))
    talk(f"{target.key}: stack {files.name}: importing {len(modules)} modules in {image.reference}")
    seen = see([one.name for one in modules])
    zips = [(path, False) for path in files.layers] + ([(files.code, True)] if files.code else [])
    brought = {name.replace("_", "-") for name in facts()["brings"]["value"]}
    subject = Subject(
        target=target,
        modules=modules,
        packages=[each for path, code in zips for each in _installed(path, target, code=code)],
        absent={name: why for name, why in files.absent.items() if name not in brought},
        may_fail=may_fail,
        limits=limits,
    )
    findings = (*before.findings, *judge(image, seen, subject))
    return report(before.target_key, before.subjects, findings, look(image, seen, subject))
