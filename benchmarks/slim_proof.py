"""Prove that slimming and stripping are safe: `python benchmarks/slim_proof.py`, or `make slim-proof`.

Every package of slim_corpus.toml and every one it needs is laid out twice by layerkit's own pipeline, as it
is, and slimmed and stripped. In both the target's interpreter imports each top-level module, runs the
package's line and imports every module inside that slimming left there. Whatever goes another way in the
second is a difference, and a difference is a row to mend. The table goes to stdout and
docs/slimming-proof.md; exit code 1 when anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from msgspec import Struct
from msgspec.structs import replace

from environments import runtime_python
from layerkit.archive import Run, compose
from layerkit.lock.places import uv_binary
from layerkit.prepare import PreparedWheel, prepare
from layerkit.progress import progress
from layerkit.project import Slimming
from layerkit.session import fetch_wheels, lock_target, open_session
from layerkit.settings import Settings
from layerkit.slim import Rules, rules
from layerkit.toml import parse
from sets import pins
from table import aligned

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from layerkit.lock import LockedPackage
    from layerkit.store import Store
    from layerkit.target import Target

HERE = Path(__file__).parent
CORPUS = HERE / "slim_corpus.toml"
DOCUMENT = HERE.parent / "docs" / "slimming-proof.md"
PROBE = HERE / "slim_probe.py"
LONGEST = 600  # seconds that one package may take
NAMESPACE = "a folder without __init__.py"  # what slim_probe.py says of one: it was imported
INNER = 120  # seconds after which no further module inside a package is begun
SLIM = rules(Slimming(), None)
_PLACE = re.compile(r"0x[0-9a-f]+")

PROJECT = """\
[project]
name = "slim-proof"
version = "1"
dependencies = {roots}

[tool.uv]
constraint-dependencies = {pins}

[tool.layerkit]
runtimes = ["{runtime}"]
architectures = ["x86_64"]
sdk = "bundle"
"""

INTRODUCTION = """\
# Slimming, proved

Written by `make slim-proof`, in {runtime}. The packages are those of `benchmarks/slim_corpus.toml`, which
says where the list comes from, and all that they need. Each was laid out as it is, and slimmed and stripped.
In both, the target's interpreter imported every top-level module, ran the package's line, and imported every
module inside that slimming left there. A difference is whatever went another way in the second. Counted are
the modules that were imported in both; those inside that fail in both, for they want what is not installed
or what no Linux has, are in a column of their own. Sizes are in bytes, unzipped.
"""


class Laid(Struct, frozen=True, kw_only=True):
    """The packages of the proof, laid out with some rules: prepared wheels by name, and their folder."""

    prepared: Mapping[str, PreparedWheel]
    site: Path


class Verdict(Struct, frozen=True, kw_only=True):
    """What the proof found of one package; sizes in bytes, `differences` and `failing` as sentences.

    `modules` and `inner` count what was imported in both, `failing` says which of the top-level modules
    fail in both alike, `alike` how many of those inside. `line` tells whether there is a line, and whether
    it ran in the package as it was.
    """

    name: str
    version: str
    modules: int
    inner: int
    failing: tuple[str, ...]
    alike: int
    line: str
    before: int
    after: int
    differences: tuple[str, ...]


@cache
def corpus() -> dict[str, Any]:
    """Return slim_corpus.toml."""
    return parse(CORPUS.read_text(encoding="utf-8"))


def locked(roots: Collection[str], folder: Path) -> tuple[list[LockedPackage], Target, Store]:
    """Return the packages that the roots stand for, their wheels in the store; the project is in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = PROJECT.format(
        roots=json.dumps(sorted(roots)), pins=json.dumps(pins("lambda")), runtime=corpus()["runtime"]
    )
    (folder / "pyproject.toml").write_text(text)
    session = open_session(folder, talk=say, progress=progress(quiet=True))
    (target,) = session.targets
    lock = lock_target(session, target)
    fetch_wheels(session, [package.wheel for package in lock.packages])
    return list(lock.packages), target, session.store


def say(text: str) -> None:
    """Talk on stderr: stdout is for the table."""
    print(text, file=sys.stderr, flush=True)


def lay_out(
    packages: Sequence[LockedPackage], target: Target, store: Store, settings: Settings, folder: Path
) -> Laid:
    """Prepare the packages and unzip them into one folder."""

    def one(package: LockedPackage) -> PreparedWheel:
        wheel = package.wheel
        path = store.path("wheels", wheel.sha256, ".whl")
        ready = prepare(path, wheel.filename, wheel.sha256, target, store, settings)
        draft = folder / f"{package.name}.zip"
        compose(draft, [Run.open(ready.path)])
        with ZipFile(draft) as archive:
            for info in archive.infolist():
                os.chmod(archive.extract(info, folder), info.external_attr >> 16 & 0o777)  # noqa: PTH101
        draft.unlink()
        return ready

    folder.mkdir(parents=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        prepared = dict(zip((package.name for package in packages), pool.map(one, packages), strict=True))
    return Laid(prepared=prepared, site=folder / target.site_packages("versioned"))


def inner_modules(wheel: PreparedWheel, site: Path) -> list[str]:
    """Return the modules below the top ones that the slimmed package has, but for those that are programs."""
    top = site.parents[3]  # python/lib/pythonX.Y/site-packages
    found = set()
    for entry in Run.open(wheel.path).names():
        path = (top / entry.name).relative_to(site) if entry.name.startswith("python/") else Path()
        if path.suffix in {".py", ".so"}:
            stem = path.name.partition(".")[0]
            found.add((*path.parts[:-1], *(() if stem == "__init__" else (stem,))))
    skipped = corpus()["skip"]
    names = [".".join(parts) for parts in sorted(found) if len(parts) > 1 and "__main__" not in parts]
    return [name for name in names if name not in skipped and all(map(str.isidentifier, name.split(".")))]


def answers(python: str, site: Path, asked: dict[str, Any]) -> dict[str, str | None]:
    """Ask the probe in a process of its own; an end that it did not choose is an answer too."""
    home = site.parents[3] / "home"
    home.mkdir(exist_ok=True)
    environment = {
        "PATH": os.defpath,
        "HOME": str(home),
        "TMPDIR": str(home),
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "0",
    }
    command = [python, "-s", "-S", "-B", str(PROBE)]
    question = json.dumps({**asked, "site": str(site)})
    try:
        done = subprocess.run(
            command,
            input=question,
            env=environment,
            cwd=home,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        said, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as error:
        said, code = (error.stdout or b"").decode(), LONGEST
    found = dict(json.loads(line) for line in said.splitlines() if line.endswith("]"))
    if code:
        found["(process)"] = f"ended with {code} after {list(found)[-1:]}"
    return {what: fault and same_anywhere(fault, site) for what, fault in found.items()}


def same_anywhere(fault: str, site: Path) -> str:
    """Return a fault without what another folder or another process changes."""
    return _PLACE.sub("0x", fault.replace(str(site.parents[3]), "/opt"))


def differences(
    was: Mapping[str, str | None], now: Mapping[str, str | None], inner: Collection[str]
) -> list[str]:
    """Return in sentences what went another way; inner modules without an answer are passed over."""
    found = []
    for what in sorted(was.keys() | now.keys()):
        if what in inner and (what not in was or what not in now):
            continue
        before, after = (answer.get(what, "no answer") for answer in (was, now))
        if before != after:
            found.append(f"{what}: {before or 'well'} -> {after or 'well'}")
    return found


def prove(name: str, whole: Laid, slim: Laid, python: str, line: str, *, deep: bool = True) -> Verdict:
    """Return what differs between the package as it is and slimmed."""
    wheel, after = whole.prepared[name], slim.prepared[name]
    inner = inner_modules(after, slim.site) if deep else []
    asked = {"modules": list(wheel.modules), "inner": inner, "line": line, "seconds": INNER}
    was, now = (answers(python, laid.site, asked) for laid in (whole, slim))
    alike = {what: fault for what, fault in was.items() if now.get(what, "no answer") == fault}
    well = {what for what, fault in alike.items() if fault in (None, NAMESPACE)}
    return Verdict(
        name=name,
        version=wheel.version,
        modules=len(well.intersection(wheel.modules)),
        inner=len(well.intersection(inner)),
        failing=tuple(f"{one}: {alike[one]}" for one in wheel.modules if one in alike.keys() - well),
        alike=len((alike.keys() - well).intersection(inner)),
        line="" if not line else "runs" if was.get("(line)", "") is None else "fails in both",
        before=wheel.unzipped,
        after=after.unzipped,
        differences=tuple(differences(was, now, inner)),
    )


def prove_all(
    packages: Sequence[LockedPackage],
    target: Target,
    store: Store,
    folder: Path,
    *,
    deep: bool,
    rules: Rules = SLIM,
) -> list[Verdict]:
    """Lay out the packages both ways below `folder`, and prove each, several at a time."""
    python = runtime_python(uv_binary())
    if python is None:
        sys.exit(f"there is no {target.runtime} on this machine: uv python install {target.minor}")
    say(f"laying out {len(packages)} packages as they are, and slimmed and stripped")
    whole, slim = (
        lay_out(packages, target, store, settings, folder / name)
        for name, settings in (("whole", Settings()), ("slim", Settings(rules=rules, strip=True)))
    )

    def one(name: str) -> Verdict:
        verdict = prove(name, whole, slim, python, corpus()["smoke"].get(name, ""), deep=deep)
        say("\n  ".join([f"{name}: {len(verdict.differences)} differences", *verdict.differences]))
        return verdict

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, sorted(whole.prepared)))


def table(verdicts: Sequence[Verdict]) -> str:
    """Return the table as Markdown, the sums in its last row."""
    head = (
        "package",
        "version",
        "top-level modules",
        "inner modules",
        "fail in both",
        "line",
        "differences",
        "bytes",
        "slimmed",
        "%",
    )
    rows = [_row(verdict) for verdict in verdicts]
    total = replace(
        verdicts[0],
        name="all",
        version="",
        modules=sum(each.modules for each in verdicts),
        inner=sum(each.inner for each in verdicts),
        alike=sum(each.alike for each in verdicts),
        line=f"{sum(each.line == 'runs' for each in verdicts)} run",
        before=sum(each.before for each in verdicts),
        after=sum(each.after for each in verdicts),
        differences=tuple(found for each in verdicts for found in each.differences),
    )
    return aligned(head, [*rows, _row(total)])


def _row(verdict: Verdict) -> tuple[str, ...]:
    return (
        verdict.name,
        verdict.version,
        str(verdict.modules),
        str(verdict.inner),
        str(verdict.alike),
        verdict.line,
        str(len(verdict.differences)),
        f"{verdict.before:,}",
        f"{verdict.after:,}",
        f"{100 * verdict.after / verdict.before:.0f}",
    )


def document(verdicts: Sequence[Verdict]) -> str:
    """Return the page that is kept of a proof of everything."""
    found = [f"* {each.name}: {sentence}" for each in verdicts for sentence in each.differences]
    failing = [f"* {each.name}: {sentence}" for each in verdicts for sentence in each.failing]
    failing += [f"* {each.name}: its line" for each in verdicts if each.line.startswith("fails")]
    return "\n".join(
        [
            INTRODUCTION.format(runtime=corpus()["runtime"]),
            *(["Differences:", "", *found] if found else ["No differences."]),
            "",
            *(["What fails in both alike, for reasons of its own:", "", *failing, ""] if failing else []),
            table(verdicts),
            "",
        ]
    )


def main() -> None:
    """Run the proof that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these and what they need; no page")
    parser.add_argument(
        "--folder", type=Path, default=HERE / ".cache" / "slim", help="of some 6 GB meanwhile"
    )
    parser.add_argument("--keep", action="store_true", help="leave all in place")
    asked = parser.parse_args()
    folder: Path = asked.folder.resolve()
    shutil.rmtree(folder / "laid", ignore_errors=True)
    try:
        packages, target, store = locked(asked.only or corpus()["smoke"], folder / "project")
        verdicts = prove_all(packages, target, store, folder / "laid", deep=True)
    finally:
        if not asked.keep:
            shutil.rmtree(folder / "laid", ignore_errors=True)
    print(table(verdicts))
    if not asked.only:
        DOCUMENT.write_text(document(verdicts), encoding="utf-8")
    sys.exit(any(verdict.differences for verdict in verdicts))


if __name__ == "__main__":
    main()
