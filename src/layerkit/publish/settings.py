"""What a command line and [tool.layerkit.publish] come to: an order of what to publish where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from layerkit.built import manifest_path, read_built
from layerkit.errors import UsageError
from layerkit.layer import manifest as manifests
from layerkit.project.faults import nearest
from layerkit.publish.bucket import Bucket
from layerkit.publish.grants import Grants
from layerkit.publish.names import NameForm
from layerkit.publish.places import Accounts
from layerkit.publish.record import record_path
from layerkit.publish.run import Order, Stacks
from layerkit.publish.wanted import Templates, wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from layerkit.layer.manifest import Manifest
    from layerkit.project import Project
    from layerkit.session import Session


class Settings(Struct, frozen=True, kw_only=True):
    """How the layers of a project are published. `functions` are (stack or None, function on AWS)."""

    record: Path
    accounts: Accounts = field(default_factory=Accounts)
    templates: Templates = field(default_factory=Templates)
    bucket: Bucket | None = None
    grants: Grants = field(default_factory=Grants)
    functions: tuple[tuple[str | None, str], ...] = ()
    drop_foreign: bool = False
    force: bool = False


def settings(project: Project, options: Mapping[str, Any]) -> Settings:
    """Return the settings of a project with the options of a command above them, those that were given.

    Raises UsageError for what AWS could not take.
    """
    table = project.publish

    def chosen(option: str, key: str | None = None) -> Any:
        return options.get(option) or getattr(table, key or option)

    name, storage = chosen("s3_bucket"), chosen("s3_storage")
    if name is None and (storage or chosen("s3_prefix")):
        raise UsageError("there is no bucket to which that applies", where="S3", fix="name it: --s3-bucket")
    found = Settings(
        record=options.get("record") or record_path(project),
        accounts=Accounts(
            profiles=chosen("profile", "profiles"),
            roles=chosen("role_arn", "role_arns"),
            regions=chosen("region", "regions"),
        ),
        templates=Templates(
            name=chosen("name_template", "name"), description=chosen("description"), licence=chosen("licence")
        ),
        bucket=Bucket(name=name, prefix=chosen("s3_prefix") or "", storage=storage) if name else None,
        grants=Grants(
            accounts=chosen("allow_account", "accounts"),
            organizations=chosen("allow_organization", "organizations"),
            public=chosen("public"),
        ),
        functions=_functions(options.get("update_function") or ()) or tuple(table.functions.items()),
        drop_foreign=options.get("drop_foreign_layers", False),
        force=options.get("force", False),
    )
    found.templates.check()
    found.grants.check()
    if found.bucket:
        found.bucket.check()
    return found


def _functions(given: Iterable[str]) -> tuple[tuple[str | None, str], ...]:
    """Return (stack, function) of each `STACK=FUNCTION`; the stack is None for a function alone."""
    parts = [text.partition("=") for text in given]
    return tuple((before, after) if equals else (None, before) for before, equals, after in parts)


def name_form(project: Project, template: str | None) -> NameForm:
    """Return what the names of the project's layers on AWS look like."""
    layers = [layer.name for layer in project.layers]
    return NameForm(template, project.name, project.version, layers)


def order(session: Session, chosen: Settings, layers: Sequence[str]) -> Order:
    """Return what there is to publish of the last builds. Raises UsageError, ConfigError, StorageError."""
    built = [read_built(session.project, target) for target in session.targets]
    found = [manifest for _, manifest in built]
    functions = tuple((_stack(stack, name, found), name) for stack, name in chosen.functions)
    zips = wanted(built, layers, chosen.templates)
    stacks = _stacks(found)
    for stack, name in functions:
        _check_whole(stack, name, stacks, {zip_.layer for zip_ in zips})
    return Order(
        zips=zips,
        form=name_form(session.project, chosen.templates.name),
        bucket=chosen.bucket,
        grants=chosen.grants,
        functions=functions,
        stacks=stacks,
        drop_foreign=chosen.drop_foreign,
        force=chosen.force,
    )


def _stack(stack: str | None, function: str, built: Iterable[Manifest]) -> str:
    """Return the stack that a function gets: as named, the one of its own name, or the only one."""
    known = sorted({one.name for manifest in built for one in manifest.stacks})
    if stack is None:
        stack = function if function in known else known[0] if len(known) == 1 else None
    if stack in known:
        return stack
    what = (
        f"there is no stack called {stack!r}{nearest(stack, known)}"
        if stack
        else "it is not clear which stack"
    )
    fix = f"name one: --update-function STACK={function}, of {', '.join(known) or 'none'}"
    raise UsageError(what, where=f"function {function}", fix=fix)


def built_stacks(session: Session) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return (target, stack) -> layers of what is built here; of targets that are not, nothing."""
    paths = [manifest_path(session.project, target) for target in session.targets]
    return dict(_stacks([manifests.read(path) for path in paths if path.exists()]).layers)


def _stacks(built: Iterable[Manifest]) -> Stacks:
    layers, code = {}, {}
    for manifest in built:
        target = f"{manifest.target.runtime}-{manifest.target.arch}"
        for stack in manifest.stacks:
            layers[target, stack.name] = stack.layers
            if stack.code is not None:
                code[stack.code.code_sha256] = stack.code.unzipped
    return Stacks(layers=layers, code=code)


def _check_whole(stack: str, function: str, stacks: Stacks, published: set[str]) -> None:
    """Refuse to attach a stack some of whose layers are not among those to publish."""
    needed = {layer for (_, name), layers in stacks.layers.items() if name == stack for layer in layers}
    if lacking := sorted(needed - published):
        what = f"the stack {stack} has layers that are not to be published: {', '.join(lacking)}"
        raise UsageError(what, where=f"function {function}", fix="name them too, or no layer at all")
