"""The commands that turn a project into layers: build, lock, plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from layerkit.cli.console import print_json
from layerkit.cli.options import SUMMARY, opened, project_options

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.built import Built
    from layerkit.session import Session


@click.command()
@project_options
@click.option(
    "--locked", is_flag=True, help="Fail when a lock is missing or not current, instead of renewing it."
)
@click.option("--explain-size", is_flag=True, help="Show per package what slimming and other steps did.")
@click.option(
    "--verify", is_flag=True, help="Build twice, the second time from the wheels alone, and compare."
)
@click.option(
    "--scheduler",
    envvar="LAYERKIT_SCHEDULER",
    show_envvar=True,
    metavar="tcp://HOST:PORT",
    help="Have a Dask cluster's workers prepare, build from source and compose.",
)
@SUMMARY
def build(
    *,
    as_json: bool,
    locked: bool,
    explain_size: bool,
    verify: bool,
    scheduler: str | None,
    summary: Path | None,
    **options: Any,
) -> None:
    """Build the layers of PROJECT: lock, fetch, compose, check.

    Prints the paths of the zips. What is unchanged is not built again.
    """
    from layerkit.report import show_build

    session = opened(options)
    with session.engines:
        built = _built(session, scheduler, locked=locked)
        if verify:
            from layerkit.verify import verify_target

            for target, one in zip(session.targets, built, strict=True):
                verify_target(session, target, one)
    if summary is not None:
        from layerkit.report import markdown

        markdown.append(summary, "\n\n".join(markdown.built(one.manifest) for one in built))
    if as_json:
        print_json("build", {"targets": [one.as_json() | _sizes(one, asked=explain_size) for one in built]})
        return
    for one in built:
        show_build(one.manifest, session.talk, unchanged=one.unchanged, engine=one.engine.as_json())
        if explain_size:
            from layerkit.report.sizes import show_sizes

            show_sizes(one.manifest)
        for path in one.paths():
            click.echo(path)


def _built(session: Session, scheduler: str | None, *, locked: bool) -> list[Built]:
    """Build all targets, on a cluster where its scheduler is named."""
    from layerkit.build import build_target, build_targets
    from layerkit.session import lock_targets

    if scheduler:
        from layerkit.cluster import open_cluster

        with open_cluster(scheduler, session.store) as cluster:
            away = replace(session, cluster=cluster)
            lock_targets(away, renew=not locked)
            built = build_targets(away, locked=locked)
            if done := cluster.summary():
                session.talk(done)
            return built
    if len(session.targets) > 1:
        lock_targets(session, renew=not locked)
    return [build_target(session, target, locked=locked) for target in session.targets]


def _sizes(built: Built, *, asked: bool) -> dict[str, Any]:
    """Return what a target's entry in the JSON says of sizes."""
    if not asked:
        return {}
    from layerkit.report.sizes import sizes_json

    return {"sizes": sizes_json(built.manifest)}


@click.command()
@project_options
@click.option("--upgrade", "-U", is_flag=True, help="Take the newest versions that fit.")
@click.option(
    "--upgrade-package", "-P", multiple=True, metavar="NAME", help="Take the newest version of one package."
)
@click.option("--check", "only_check", is_flag=True, help="Write nothing; fail when a lock is not current.")
def lock(
    *, as_json: bool, upgrade: bool, upgrade_package: tuple[str, ...], only_check: bool, **options: Any
) -> None:
    """Resolve the dependencies of PROJECT and write one lock per target."""
    from layerkit.report import lock_json, show_engine, show_lock
    from layerkit.session import lock_targets

    session = opened(options)
    names = ("*",) if upgrade else upgrade_package
    with session.engines:
        locks = lock_targets(session, upgrade=names, renew=not only_check)
    if as_json:
        targets = [lock_json(one, session.engines.use(one.target.key).as_json()) for one in locks]
        print_json("lock", {"targets": targets})
        return
    for one in locks:
        show_lock(one, session.talk)
        show_engine(one.target.key, session.engines.use(one.target.key).as_json(), session.talk)
        click.echo(one.path)


@click.command()
@project_options
def plan(*, as_json: bool, **options: Any) -> None:
    """Show what goes into which layer and why; write no zip."""
    from layerkit.build import plan_target
    from layerkit.report import show_plan

    session = opened(options)
    with session.engines:
        plans = [plan_target(session, target) for target in session.targets]
    if as_json:
        print_json("plan", {"targets": [one.as_json() for one in plans]})
        return
    for one in plans:
        show_plan(one)
