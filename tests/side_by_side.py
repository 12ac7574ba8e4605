"""A layer and what `pip install --target` lays down, side by side.

For every package, pip chooses a wheel of the locked version by the target's own tags and installs it.
"""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import json
import re
import zipfile
from collections import defaultdict
from importlib.metadata import PathDistribution
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from packaging.utils import canonicalize_name

from layerkit.store import Store
from real import pip_flags, wheels_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from layerkit.target import Target
    from real import Workshop

# What may differ, by the path in the layer, and why. Everything else must be the same on both sides,
# except for the scripts that name an interpreter: `assert_same_script` says what may differ in them.
ON_ONE_SIDE = {
    r"(.*/)?__pycache__/[^/]+\.py[co]": "bytecode is the target's own in a layer; pip keeps what wheels ship",
    r".*\.dist-info/REQUESTED": "pip alone notes who was asked for by name",
    r".*\.dist-info/direct_url\.json": "pip alone notes where a file given by its path came from",
}
OF_OTHER_CONTENT = {
    r".*\.dist-info/RECORD": "ours lists a layer's paths; its rows are compared with the files in the layer",
    r".*\.dist-info/INSTALLER": "each names itself",
}
DIFFERENCES = ON_ONE_SIDE | OF_OTHER_CONTENT


class Laid(Struct, frozen=True, kw_only=True):
    """What pip laid down: path in a layer -> file, and package -> the paths that its RECORD lists.

    `commands` are path -> the object that the entry point names.
    """

    files: Mapping[str, Path]
    owned: Mapping[str, frozenset[str]]
    commands: Mapping[str, str]


def install(packages: Sequence[dict[str, Any]], on: Target, workshop: Workshop, folder: Path) -> Laid:
    """Let pip choose a wheel for each locked package and lay them down, and return what is where.

    The choice is made from the index; what is installed then comes from layerkit's store, for the hash
    of the wheel that pip chose is the lock's, and nothing need be downloaded twice.
    """
    pins = folder / "pins.txt"
    pins.write_text("".join(f"{package['name']}=={package['version']}\n" for package in packages))
    there = folder / "pip"
    arguments: list[str | Path] = ["install", "--quiet", "--no-deps", "--target", there]
    arguments += [*pip_flags(on), "--requirement", pins]
    report = json.loads(workshop.run_pip(*arguments, "--dry-run", "--report", "-"))
    wheels = [package["wheels"][0] for package in packages]
    assert wheels_of(report) == sorted(wheel["name"] for wheel in wheels)
    digests = {item["download_info"]["archive_info"]["hashes"]["sha256"] for item in report["install"]}
    assert digests == {wheel["hashes"]["sha256"] for wheel in wheels}

    house = folder / "wheels"
    house.mkdir()
    for wheel in wheels:
        house.joinpath(wheel["name"]).symlink_to(
            Store(workshop.store).path("wheels", wheel["hashes"]["sha256"], ".whl")
        )
    workshop.run_pip(*arguments, "--no-compile", "--no-index", "--find-links", house)
    return read_target(there, on)


def read_target(there: Path, on: Target) -> Laid:
    """Read a folder that `pip install --target` made.

    pip lets modules and all else fall into one folder; each RECORD still tells them apart, for it was
    written where the modules lay two folders below. Those outside go to the root of a layer.
    """
    site = on.site_packages("versioned")
    files: dict[str, Path] = {}
    owned: dict[str, frozenset[str]] = {}
    commands: dict[str, str] = {}
    for info in there.glob("*.dist-info"):
        distribution = PathDistribution(info)
        with info.joinpath("RECORD").open(newline="") as file:
            paths = [row[0] for row in csv.reader(file)]
        landed = {in_layer(path, site, on): there / path.removeprefix("../../") for path in paths}
        files |= landed
        owned[canonicalize_name(distribution.metadata["Name"])] = frozenset(landed)
        for point in distribution.entry_points:
            if point.group in ("console_scripts", "gui_scripts"):
                commands[f"bin/{point.name}"] = point.value
    on_disk = {path for path in there.rglob("*") if path.is_file()}
    assert set(files.values()) == on_disk, "pip's own RECORDs do not list what it laid down"
    return Laid(files=files, owned=owned, commands=commands)


def in_layer(path: str, site: str, on: Target) -> str:
    """Return where a path of pip's RECORD lies in a layer, for which /opt is the prefix."""
    inside = path.removeprefix("../../")
    if inside == path:
        return f"{site}/{path}"
    # pip names the folder of headers after the interpreter that runs it.
    return re.sub(r"^include/python[\d.]*/", f"include/{on.runtime}/", inside)


def assert_same(path: Path, names: list[str], laid: Laid, on: Target, workshop: Workshop) -> None:
    """Compare one zip with the part of pip's folder that belongs to its packages."""
    expected = {place for name in names for place in laid.owned[name]}
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        assert len(members) == len(archive.infolist())
        one_sided = {place for place in expected ^ members.keys() if not listed(place, ON_ONE_SIDE)}
        assert one_sided == set(), "one side alone has these"
        for place in expected & members.keys():
            content, theirs = archive.read(place), laid.files[place]
            mode = members[place].external_attr >> 16
            assert mode & 0o111 == theirs.stat().st_mode & 0o111, f"{place} can be run on one side only"
            if not listed(place, DIFFERENCES) and content != theirs.read_bytes():
                assert_same_script(place, content, theirs.read_bytes(), laid, on, workshop)
        site = on.site_packages("versioned")
        assert_records(archive, site)
        installers = {archive.read(name) for name in members if name.endswith(".dist-info/INSTALLER")}
        assert installers == {b"layerkit\n"}, "INSTALLER names others"


def listed(place: str, differences: Mapping[str, str]) -> bool:
    """Tell whether a path falls under one of the differences."""
    return any(re.fullmatch(pattern, place) for pattern in differences)


def assert_same_script(
    place: str, ours: bytes, theirs: bytes, laid: Laid, on: Target, workshop: Workshop
) -> None:
    """Two scripts differ in their first line only, or both are launchers of the same entry point."""
    assert place.startswith("bin/"), f"{place} has another content"
    first, _, rest = ours.partition(b"\n")
    their_first, _, their_rest = theirs.partition(b"\n")
    assert first == f"#!{on.interpreter}".encode(), f"{place} runs by {first!r}"
    assert their_first == f"#!{workshop.pip}".encode(), f"{place} runs by {their_first!r} for pip"
    if place in laid.commands:
        named = re.sub(r"\s|\[.*\]", "", laid.commands[place])
        assert called(ours) == called(theirs) == named, f"{place} runs something else"
    else:
        assert rest == their_rest, f"{place} differs below its first line"


def called(launcher: bytes) -> str:
    """Return what a launcher passes to sys.exit, as an entry point names it: module:attribute."""
    tree = ast.parse(launcher)
    (imported,) = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    exits = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    (ended,) = (node for node in exits if ast.unparse(node.func) == "sys.exit")
    (call,) = ended.args
    assert isinstance(call, ast.Call)
    assert ast.unparse(call.func).partition(".")[0] == imported.names[0].name
    return f"{imported.module}:{ast.unparse(call.func)}"


def assert_records(archive: zipfile.ZipFile, site: str) -> None:
    """The RECORDs of a layer list each of its files, as often as packages have it, with hash and size."""
    rows = defaultdict(list)
    for path, digest, size in recorded(archive, site):
        rows[path].append((digest, size))
    assert rows.keys() == set(archive.namelist()), "the RECORDs do not list the files that are there"
    for path, said in rows.items():
        if path.endswith(".dist-info/RECORD"):
            assert said == [("", "")]
            continue
        content = archive.read(path)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        assert set(said) == {(f"sha256={digest}", str(len(content)))}, f"RECORD is wrong about {path}"


def recorded(archive: zipfile.ZipFile, site: str) -> Iterator[tuple[str, str, str]]:
    """Yield path in the layer, hash and size from every RECORD."""
    for name in archive.namelist():
        if name.endswith(".dist-info/RECORD"):
            for row in csv.reader(archive.read(name).decode().splitlines()):
                assert len(row) == 3, f"{name}, a RECORD, has the row {row}"
                yield resolved(f"{site}/{row[0]}"), row[1], row[2]


def resolved(path: str) -> str:
    """Return a path without the steps upwards that are in it."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
