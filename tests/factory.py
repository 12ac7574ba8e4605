"""Tiny wheels made to order, good and bad: the raw material of the tests.

The same arguments give the same bytes, given the same zlib. What is not said is right: names are escaped,
the RECORD is complete, the tags in WHEEL are those of the file name. Each way of being wrong has
an argument of its own, so that a test reads as what it breaks.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from pathlib import Path

Content = str | bytes
Row = tuple[str, str, str]
EditRecord = Callable[[list[Row]], Iterable[Sequence[str]]]

_REGULAR_FILE = 0o100000


class BuiltWheel(Struct, frozen=True, kw_only=True):
    """A wheel on disk: its path, the name it goes by, and the sha256 and size of the file."""

    path: Path
    filename: str
    sha256: str
    size: int
    dist_info: str


def make_wheel(  # noqa: PLR0913 - each way of being right or wrong has its own argument
    folder: Path,
    name: str = "demo",
    version: str = "1.0",
    *,
    files: Mapping[str, Content] | None = None,
    data: Mapping[str, Content] | None = None,
    executable: Collection[str] = (),
    requires: Sequence[str] = (),
    extras: Sequence[str] = (),
    requires_python: str | None = None,
    entry_points: Mapping[str, Mapping[str, str]] | str | None = None,
    tag: str = "py3-none-any",
    build: str = "",
    purelib: bool | None = None,
    metadata: Mapping[str, str] | Content | None = None,
    wheel: Mapping[str, str] | Content | None = None,
    record: EditRecord | Content | None = None,
    info_files: Mapping[str, Content] | None = None,
    without: Collection[str] = (),
    unrecorded: Mapping[str, Content] | None = None,
    algorithm: str = "sha256",
    dist_info: str | None = None,
    filename: str | None = None,
    stored: Collection[str] = (),
    level: int | None = None,
    directories: Sequence[str] = (),
) -> BuiltWheel:
    """Write one wheel into `folder` and return where it is and what it is.

    What goes in:
        files            name -> content; by default one package `<name>/__init__.py`
        data             name under `<name>-<version>.data/` -> content, such as `scripts/run`
        executable       names (as in the zip) that carry the x bits
        requires, extras, requires_python   the lines of METADATA of that name
        entry_points     group -> name -> object reference, or the text of entry_points.txt
        tag, build       of the file name; `purelib` defaults to what the tag says
        info_files       name under the .dist-info folder -> content, such as `licenses/LICENSE`
        stored           names that are kept uncompressed
        level            how hard zlib tries for the others, 0 to 9
        directories      names of directory entries, with their slash

    What goes wrong:
        metadata, wheel  fields that replace or add (a list is not needed: use text for that), or
                         the whole content as text or bytes
        record           a function from the right rows to the wrong ones, or the whole content
        without          names under the .dist-info folder that are left out, such as `WHEEL`
        unrecorded       files that get no row in RECORD
        algorithm        of the hashes in RECORD
        dist_info        the name of the .dist-info folder; `filename` that of the wheel itself
    """
    escaped = escape(name)
    info = dist_info or f"{escaped}-{version}.dist-info"
    module = re.sub(r"\W", "_", name)
    members = {
        n: _bytes(c) for n, c in (files if files is not None else {f"{module}/__init__.py": ""}).items()
    }
    members |= {f"{info.removesuffix('.dist-info')}.data/{n}": _bytes(c) for n, c in (data or {}).items()}
    core = [("Name", name), ("Version", version)]
    core += [("Requires-Python", requires_python)] if requires_python else []
    core += [("Provides-Extra", extra) for extra in extras]
    core += [("Requires-Dist", requirement) for requirement in requires]
    pure = purelib if purelib is not None else tag.endswith("-none-any")
    about = {
        "METADATA": _metadata(metadata, core),
        "WHEEL": _wheel(wheel, tag, build, pure=pure),
    }
    if entry_points is not None:
        about["entry_points.txt"] = _entry_points(entry_points)
    about |= {n: _bytes(c) for n, c in (info_files or {}).items()}
    members |= {f"{info}/{n}": c for n, c in about.items() if n not in without}
    if "RECORD" not in without:
        members[f"{info}/RECORD"] = _record(record, members, f"{info}/RECORD", algorithm)
    members |= {n: _bytes(c) for n, c in (unrecorded or {}).items()}
    label = filename or "-".join(filter(None, (escaped, version, build, tag))) + ".whl"
    path = folder / label
    _write(path, members, executable, stored, directories, level)
    content = path.read_bytes()
    return BuiltWheel(
        path=path,
        filename=label,
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        dist_info=info,
    )


def make_sdist(
    folder: Path, name: str, version: str = "1.0", files: Mapping[str, Content] | None = None
) -> Path:
    """Write a source archive into `folder`; the same files give the same bytes.

    Without files it has a PKG-INFO that says nothing of what it requires, as those of old have it.
    """
    escaped = escape(name)
    info = {"PKG-INFO": f"Metadata-Version: 1.0\nName: {name}\nVersion: {version}\n"}
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for member, content in {**info, **(files or {})}.items():
            entry = tarfile.TarInfo(f"{escaped}-{version}/{member}")
            entry.size = len(_bytes(content))
            archive.addfile(entry, io.BytesIO(_bytes(content)))
    path = folder / f"{escaped}-{version}.tar.gz"
    path.write_bytes(gzip.compress(written.getvalue(), mtime=0))
    return path


def escape(name: str) -> str:
    """Return the name of a project as the binary distribution format writes it in file names."""
    return re.sub(r"[-_.]+", "_", name)


def digest(content: bytes, algorithm: str = "sha256") -> str:
    """Return what RECORD says of a content: the algorithm, and the digest without padding."""
    raw = hashlib.new(algorithm, content).digest()
    return f"{algorithm}=" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(content: Content) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _fields(fields: Mapping[str, str], lines: Sequence[tuple[str, str]]) -> bytes:
    """Write header lines; a field of `fields` replaces all lines of its name, or is added."""
    kept = [(key, value) for key, value in lines if key not in fields]
    return "".join(f"{key}: {value}\n" for key, value in (*kept, *fields.items())).encode()


def _metadata(given: Mapping[str, str] | Content | None, lines: Sequence[tuple[str, str]]) -> bytes:
    if isinstance(given, (str, bytes)):
        return _bytes(given)
    return _fields(given or {}, [("Metadata-Version", "2.1"), *lines])


def _wheel(given: Mapping[str, str] | Content | None, tag: str, build: str, *, pure: bool) -> bytes:
    if isinstance(given, (str, bytes)):
        return _bytes(given)
    lines = [("Wheel-Version", "1.0"), ("Generator", "factory"), ("Root-Is-Purelib", str(pure).lower())]
    lines += [("Build", build)] if build else []
    interpreters, abis, platforms = (part.split(".") for part in tag.split("-"))
    lines += [("Tag", f"{i}-{a}-{p}") for i in interpreters for a in abis for p in platforms]
    return _fields(given or {}, lines)


def _entry_points(given: Mapping[str, Mapping[str, str]] | str) -> bytes:
    if isinstance(given, str):
        return given.encode()
    lines: list[str] = []
    for group, points in given.items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items()), ""]
    return "\n".join(lines).encode()


def _record(
    given: EditRecord | Content | None, members: Mapping[str, bytes], own_name: str, algorithm: str
) -> bytes:
    if isinstance(given, (str, bytes)):
        return _bytes(given)
    rows: list[Row] = [(n, digest(c, algorithm), str(len(c))) for n, c in members.items()]
    rows.append((own_name, "", ""))
    written: Iterable[Sequence[str]] = given(rows) if given else rows
    return "".join(",".join(_quoted(cell) for cell in row) + "\n" for row in written).encode()


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if re.search(r'[",\n]', cell) else cell


def _write(
    path: Path,
    members: Mapping[str, bytes],
    executable: Collection[str],
    stored: Collection[str],
    directories: Sequence[str],
    level: int | None,
) -> None:
    """Write the zip itself, with the date, the order and the modes fixed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in directories:
            archive.writestr(_entry(name, 0o40755, zipfile.ZIP_STORED), b"")
        for name, content in members.items():
            mode = _REGULAR_FILE | (0o755 if name in executable else 0o644)
            method = zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED
            archive.writestr(_entry(name, mode, method), content, compresslevel=level)


def _entry(name: str, mode: int, method: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.create_system = 3
    entry.external_attr = mode << 16
    entry.compress_type = method
    return entry
