"""The command that runs a function as Lambda would: invoke."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from layerkit.cli.console import print_json, show, talk
from layerkit.cli.options import json_option, opened, with_options
from layerkit.errors import FunctionError, LayerkitError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

    from layerkit.invoke import Job
    from layerkit.invoke.events import Given
    from layerkit.invoke.function import Function, Outcome
    from layerkit.target import Target

_PATH = click.Path(path_type=Path)
# What a role gives a function on Lambda; --aws gives it what this shell has.
_AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION")
_ENDPOINTS = "AWS_ENDPOINT_URL"
_OPTIONS = (
    click.option(
        "--event", "-e", multiple=True, metavar="FILE", help="The event, JSON; - for stdin. May be repeated."
    ),
    click.option("--handler", metavar="MODULE.NAME", help="lambda_function.lambda_handler by default."),
    click.option("--code", type=_PATH, help="Folder, file or zip of the function's code."),
    click.option("--function", metavar="NAME", help="A function of the project's last build."),
    click.option("--project", default=".", type=_PATH, help="The project whose build to use."),
    click.option("--runtime", "-r", metavar="NAME", help="py312, 3.12 or python3.12."),
    click.option("--arch", "-a", metavar="ARCH", help="x86_64 or arm64; this machine's by default."),
    click.option(
        "--env", multiple=True, metavar="NAME[=VALUE]", help="A variable; without a value: this shell's."
    ),
    click.option("--aws", is_flag=True, help="Give it this shell's AWS keys, region and endpoints."),
    click.option("--timeout", type=click.FloatRange(0.1, 900), default=3.0, help="Seconds, 3 by default."),
    click.option("--memory", type=click.IntRange(128, 10240), default=128, help="MiB, 128 by default."),
    click.option("--tmp", type=click.IntRange(512, 10240), default=512, help="MiB of /tmp, 512 by default."),
    click.option(
        "--engine",
        type=click.Choice(["process", "docker"]),
        default="process",
        help="docker: the runtime's own image, and the emulator in it.",
    ),
    click.option(
        "--isolation",
        type=click.Choice(["auto", "namespaces", "bubblewrap", "none"]),
        default="auto",
        help="What keeps the function in; the best that is there by default.",
    ),
    click.option("--watch", is_flag=True, help="Run again whenever code, layers or events change."),
    click.option("--offline", is_flag=True, help="Ask no index."),
    json_option,
    click.option("--quiet", "-q", is_flag=True, help="Print neither the log nor anything else on stderr."),
)


def _invoke_options(command: Any) -> Any:
    return with_options(command, *_OPTIONS)


@click.command()
@click.argument("zips", nargs=-1, metavar="[ZIPS]...", type=_PATH)
@_invoke_options
def invoke(*, zips: tuple[Path, ...], as_json: bool, watch: bool, **options: Any) -> None:
    """Run a handler on its layers as Lambda would.

    ZIPS are its layers, the lowest first; without any, those of a function of the project's last build.
    Each event's answer is a line on stdout; the log, as CloudWatch has it, goes to stderr.
    """
    from layerkit.invoke.events import read_events

    signal.signal(signal.SIGTERM, _leave)
    options["images"] = {}
    job = _job(zips, options)
    events = read_events(options["event"])
    if watch:
        _watch(job, events, options, as_json=as_json)
        return
    if _once(job, events, options, as_json=as_json):
        raise click.exceptions.Exit(FunctionError.exit_code)


def _once(job: Job, events: Sequence[Given], options: dict[str, Any], *, as_json: bool) -> bool:
    """Run all events, print what came of them, and say whether any failed."""
    payloads = [event.payload for event in events]
    outcomes, how = (_inside if options["engine"] == "docker" else _here)(job, payloads, options)
    if as_json:
        printed = [made.as_json(event.name) for event, made in zip(events, outcomes, strict=True)]
        target, name = job.function.target.key, job.function.name
        print_json("invoke", {"target": target, "function": name, **how, "results": printed})
    else:
        for made in outcomes:
            click.echo(made.payload.decode("utf-8", "replace"))
    return any(made.error for made in outcomes)


def _here(job: Job, payloads: list[bytes], options: dict[str, Any]) -> tuple[list[Outcome], dict[str, Any]]:
    """Run the events on this machine."""
    from layerkit.invoke import run
    from layerkit.invoke.room import choose
    from layerkit.store import Store

    room = choose(options["isolation"])
    talk(options)(f"{job.function.target.key}: {room}")
    outcomes = run(job, payloads, room, Store.default(), _hear(options), offline=options["offline"])
    return outcomes, {"isolation": room.kind, "lacks": room.lacks or None}


def _inside(job: Job, payloads: list[bytes], options: dict[str, Any]) -> tuple[list[Outcome], dict[str, Any]]:
    """Run the events in the runtime's image."""
    from layerkit.engines import Engines
    from layerkit.invoke import emulator

    say = talk(options)
    with Engines(rule="docker", talk=say) as engines:
        rooms = engines.need(job.function.target.key, "the runtime's own image was asked for")
        outcomes = emulator.run(
            job, payloads, rooms, options["images"], say, _hear(options), offline=options["offline"]
        )
    return outcomes, {"isolation": "docker", "lacks": None}


def _watch(job: Job, events: Sequence[Given], options: dict[str, Any], *, as_json: bool) -> None:
    """Run the events again after every change, until Ctrl-C."""
    from layerkit.invoke.events import read_events
    from layerkit.invoke.watch import stamps, wait

    files = [Path(name) for name in options["event"] if name != "-"]
    with suppress(KeyboardInterrupt):
        while True:
            before = stamps(job, files)
            try:
                fresh = {
                    event.name: event
                    for event in read_events([name for name in options["event"] if name != "-"])
                }
                _once(job, [fresh.get(event.name, event) for event in events], options, as_json=as_json)
            except LayerkitError as error:
                show(error, as_json=as_json)
            talk(options)("watching for changes; Ctrl-C ends")
            wait(job, files, before)


def _job(zips: Sequence[Path], options: dict[str, Any]) -> Job:
    """Return what is to be run: of zips, or of the project's last build."""
    from layerkit.invoke import Job
    from layerkit.project.specs import FunctionSpec

    if zips:
        if options["function"]:
            raise UsageError(
                "a function of the project has its own layers", fix="leave out ZIPS or --function"
            )
        code = FunctionSpec(name="function", code=options["code"] or Path())
        return Job(function=_function(_given_target(options), code.name, options), layers=zips, code=code)
    if options["runtime"] and options["code"] and not options["function"]:
        code = FunctionSpec(name="function", code=options["code"])
        return Job(function=_function(_given_target(options), code.name, options), layers=(), code=code)
    from layerkit.invoke.built import chosen, of_project

    runtime, arch = options["runtime"], options["arch"]
    more: dict[str, Any] = dict.fromkeys(("output", "name", "project_version", "engine"))
    session = opened(
        {**options, **more, "runtime": (runtime,) if runtime else (), "arch": (arch,) if arch else ()}
    )
    target = chosen(session)
    options["images"] = dict(session.project.containers.images)
    name, layers, spec = of_project(session, target, options["function"], options["code"])
    apart = (session.project.output, session.project.lock_folder)
    return Job(function=_function(target, name, options), layers=layers, code=spec, apart=apart)


def _given_target(options: dict[str, Any]) -> Target:
    """Return the target that the command line names."""
    import platform

    from layerkit.target import target

    if not options["runtime"]:
        raise UsageError("nothing says which runtime the zips are for", fix="add it: --runtime py312")
    return target(options["runtime"], options["arch"] or platform.machine())


def _function(target: Target, name: str, options: dict[str, Any]) -> Function:
    from layerkit.container.stage import MIB, Limits
    from layerkit.invoke.function import HANDLER, Function

    limits = Limits(memory=options["memory"] * MIB, tmp=options["tmp"] * MIB, timeout=options["timeout"])
    given = _variables(options["env"], os.environ, aws=options["aws"])
    handler = options["handler"] or HANDLER
    return Function(target=target, name=name, handler=handler, environment=given, limits=limits)


def _variables(given: Sequence[str], shell: Mapping[str, str], *, aws: bool) -> dict[str, str]:
    """Return the function's own variables: AWS's of this shell where asked for, then those that are named."""
    found = {}
    if aws:
        found = {key: text for key, text in shell.items() if key in _AWS or key.startswith(_ENDPOINTS)}
    for one in given:
        name, equals, value = one.partition("=")
        if not name.isidentifier():
            raise UsageError(f"{name!r} is not the name of a variable", where="--env", fix="write NAME=VALUE")
        if not equals and name not in shell:
            raise UsageError(f"{name} is not set in this shell", where="--env", fix="write NAME=VALUE")
        found[name] = value if equals else shell[name]
    return found


def _hear(options: dict[str, Any]) -> Callable[[bytes], None]:
    """Return what passes the function's log on."""
    if options["quiet"]:
        return lambda _chunk: None
    stream = sys.stderr.buffer

    def hear(chunk: bytes) -> None:
        stream.write(chunk)
        stream.flush()

    return hear


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End as a program that SIGTERM ends, but through all `with` blocks: no function outlives the command."""
    raise SystemExit(128 + signal.SIGTERM)
