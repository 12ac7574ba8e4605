"""The commands that look at what was built or locked: check, tree."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from layerkit.cli.aws_options import account_options
from layerkit.cli.console import print_json, show, talk
from layerkit.cli.options import engines, opened, project_options, session_options
from layerkit.errors import UsageError

if TYPE_CHECKING:
    from layerkit.check import Report
    from layerkit.check.inside import Inside, Look
    from layerkit.engines import Engines
    from layerkit.project import Project
    from layerkit.project.specs import CheckRules


@click.command()
@click.argument("zips", nargs=-1, metavar="[ZIPS]...")
@session_options
@click.option(
    "--project", default=".", type=click.Path(path_type=Path), help="The project whose build to check."
)
@click.option("--function", "code", type=click.Path(path_type=Path), help="Zip of the function's own code.")
@click.option(
    "--in-image", is_flag=True, help="Run pip check and import every module in the runtime's image."
)
@click.option(
    "--import",
    "imports",
    is_flag=True,
    help="Import every module here, kept in, with the runtime's version of Python.",
)
@click.option(
    "--memory",
    type=click.IntRange(128, 10240),
    default=512,
    help="Of imports: memory in MiB, 512 by default.",
)
@click.option(
    "--tmp",
    type=click.IntRange(512, 10240),
    default=512,
    help="Of imports: size of /tmp in MiB, 512 by default.",
)
@click.option("--ignore", multiple=True, metavar="CODE", help="Pass over findings of this code; repeatable.")
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "never"]),
    help="What makes it fail; error by default.",
)
@click.option("--sarif", is_flag=True, help="Print SARIF 2.1.0 on stdout.")
@account_options
def check(*, zips: tuple[str, ...], code: Path | None, as_json: bool, **options: Any) -> None:
    """Open finished zips again and check them as a function would find them.

    Without ZIPS: the layers that the project's last build wrote. With ZIPS, ours or anybody's: the
    layers of one function, the lowest first; then --runtime says for which. The ARN of a layer's
    version is downloaded.
    """
    from layerkit.inspection import check_built, check_given, check_targets
    from layerkit.project.specs import CheckRules

    _usable(options, as_json=as_json)
    if zips or code:
        from layerkit.publish.downloads import as_files, named_file

        asked = check_targets(options["runtime"], options["arch"], options["sdk_version"])
        accounts = (options["profile"], options["role_arn"])
        code = named_file(code, "name the zip of the function's code") if code else None
        with engines(options) as given, as_files(zips, *accounts, talk(options)) as layers:
            reports = check_given(layers, code, asked, _inside(given, options))
        rules = CheckRules()
    else:
        session = opened(options)
        with session.engines:
            inside = _inside(session.engines, options, session.project)
            reports = [pair for target in session.targets for pair in check_built(session, target, inside)]
        rules = session.project.check
    reports = [(name, one.under(_rules(rules, options))) for name, one in reports]
    _print(reports, options, as_json=as_json)
    failures = [error for name, one in reports if (error := one.failure(name))]
    for error in failures:
        # With --json the findings are on stdout already: one document per command.
        show(error, as_json=False)
    if failures:
        raise click.exceptions.Exit(max(error.exit_code for error in failures))


def _usable(options: dict[str, Any], *, as_json: bool) -> None:
    """Raise UsageError for options that do not go together, before anything is read."""
    from layerkit.check.findings import known_codes

    known_codes(options["ignore"], "--ignore")
    if options["in_image"] and options["imports"]:
        raise UsageError("--import imports here, --in-image in the image", fix="choose one of them")
    if as_json and options["sarif"]:
        raise UsageError("--json and --sarif both ask for stdout", fix="choose one of them")


def _rules(rules: CheckRules, options: dict[str, Any]) -> CheckRules:
    """Return the project's rules with what the command line adds."""
    from layerkit.check.findings import known_codes

    known_codes(rules.ignore, "tool.layerkit.check.ignore")
    return replace(
        rules, ignore=rules.ignore | set(options["ignore"]), fail_on=options["fail_on"] or rules.fail_on
    )


def _print(reports: list[tuple[str, Report]], options: dict[str, Any], *, as_json: bool) -> None:
    """Print reports as one document, or draw them."""
    from layerkit.report import show_findings, show_modules
    from layerkit.report.sarif import sarif

    if options["sarif"]:
        click.echo(json.dumps(sarif(reports), indent=2, ensure_ascii=False))
    elif as_json:
        print_json("check", {"targets": [{"stack": name, **one.as_json()} for name, one in reports]})
    else:
        for name, one in reports:
            show_findings(name, one, talk(options))
            show_modules(name, one)


def _inside(
    engines: Engines, options: dict[str, Any], project: Project | None = None
) -> Inside | Look | None:
    """Return how to import what is in the stacks, where that is asked for."""
    if not options["in_image"] and not options["imports"]:
        return None
    from layerkit.container.stage import MIB, Limits

    limits = Limits(memory=options["memory"] * MIB, tmp=options["tmp"] * MIB)
    if options["in_image"]:
        from layerkit.check.inside import inside_of

        return inside_of(engines, limits, talk(options), project=project, offline=options["offline"])
    from layerkit.importing import Importing, import_here

    may_fail = project.import_may_fail if project else frozenset[str]()
    how = Importing(limits=limits, may_fail=may_fail, talk=talk(options), offline=options["offline"])
    return partial(import_here, how)


@click.command()
@project_options
def sbom(*, as_json: bool, **options: Any) -> None:
    """Write a bill of materials (CycloneDX) beside each layer of the last build."""
    from layerkit.inspection import bills

    session = opened(options)
    with session.engines:
        found = [(target.key, path) for target in session.targets for path in bills(session, target)]
    if as_json:
        print_json("sbom", {"bills": [{"target": key, "path": str(path)} for key, path in found]})
        return
    for _, path in found:
        click.echo(path)


@click.command()
@project_options
@click.option(
    "--reverse", metavar="PACKAGE", help="Show what needs PACKAGE, up to the project's own requirements."
)
@click.option("--depth", type=click.IntRange(min=0), help="Show so many levels only.")
def tree(*, as_json: bool, reverse: str | None, depth: int | None, **options: Any) -> None:
    """Draw what needs what, from the lock, with unpacked sizes."""
    from layerkit.inspection import tree_target
    from layerkit.tree import draw

    session = opened(options)
    with session.engines:
        trees = [tree_target(session, target, reverse) for target in session.targets]
    if as_json:
        print_json("tree", {"targets": trees})
        return
    for one in trees:
        draw(one, depth)
