"""RECORD: the list of a wheel's files with their hashes, as it is shipped and as it is installed.

The format is the one of the binary distribution format and of "Recording installed projects": CSV
rows of path, hash and size, in UTF-8, where RECORD itself has neither hash nor size.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.archive import ArchiveError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from layerkit.archive import Archive, Member

_CHUNK = 1 << 20
# What hashlib has everywhere and the specification calls sha256 or better.
STRONG = frozenset({"sha256", "sha384", "sha512", "sha3_256", "sha3_384", "sha3_512", "blake2b", "blake2s"})
_WEAK = frozenset({"md5", "sha1", "sha224", "sha3_224"})
# Signatures of RECORD cannot be listed in it with a hash.
SIGNATURES = ("RECORD.jws", "RECORD.p7s")
_CELLS = 3


class Recorded(Struct, frozen=True, kw_only=True):
    """What RECORD says of one file: `digest` in URL-safe base64 without padding, `size` in bytes."""

    algorithm: str
    digest: str
    size: int | None


def encode(digest: bytes) -> str:
    """Return a digest as RECORD writes it."""
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def parse(content: bytes, folder: str) -> tuple[dict[str, Recorded | None], list[Problem]]:
    """Read the RECORD of the .dist-info `folder`: path -> what it says, None for a row without a hash.

    Rows without a hash are right for RECORD and its signatures only. All problems are returned.
    """
    own = f"{folder}/RECORD"
    found: dict[str, Recorded | None] = {}
    problems: list[Problem] = []
    try:
        rows = [row for row in csv.reader(io.StringIO(content.decode(), newline="")) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        return {}, [Problem(case="record-unreadable", text=f"is no CSV in UTF-8: {error}", member=own)]
    for row in rows:
        if len(row) != _CELLS:
            text = f"has a row of {len(row)} cells, not 3: {','.join(row)[:80]!r}"
            problems.append(Problem(case="record-row", text=text, member=own))
            continue
        path, stated, size = row
        if path in found:
            problems.append(Problem(case="record-twice", text="has two rows in RECORD", member=path))
        unhashed = path in _unhashed(folder)
        found[path] = None if unhashed else _recorded(path, stated, size, problems)
    return found, problems


def compare(recorded: Mapping[str, Recorded | None], names: Iterable[str], folder: str) -> Iterable[Problem]:
    """Yield a problem for each row without a file and each file without a row."""
    present, excepted = set(names), _unhashed(folder)
    for path in sorted(present - recorded.keys() - excepted):
        yield Problem(case="record-missing", text="has no row in RECORD", member=path)
    for path in sorted(recorded.keys() - present):
        yield Problem(case="record-extra", text="is listed in RECORD, and there is no such file", member=path)


def verify(
    archive: Archive, member: Member, row: Recorded | None, *, keep: int = 0
) -> tuple[bytes, bytes | None]:
    """Return the sha256 digest of a member, and its content if it has at most `keep` bytes.

    It is inflated once; what is not kept, in flat memory. Raises ArchiveError when it is not as recorded.
    """
    digest = other = hashlib.sha256()
    if row is not None and row.algorithm != "sha256":
        other = hashlib.new(row.algorithm)
    content = archive.read(member) if member.size <= max(keep, _CHUNK) else None
    for chunk in archive.chunks(member) if content is None else (content,):
        digest.update(chunk)
        if other is not digest:
            other.update(chunk)
    if row is not None and (stated := encode(other.digest())) != row.digest:
        text = f"has the {row.algorithm} {stated}, and RECORD says {row.digest}"
        raise ArchiveError(archive.name, [Problem(case="record-hash", text=text, member=member.name)])
    return digest.digest(), content if member.size <= keep else None


def write(rows: Mapping[str, tuple[bytes, int]], own: str) -> bytes:
    """Return the RECORD of an installation: path -> (sha256, size), and `own`, its own path, last."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for path in sorted(rows):
        digest, size = rows[path]
        writer.writerow((path, f"sha256={encode(digest)}", size))
    writer.writerow((own, "", ""))
    return text.getvalue().encode()


def _unhashed(folder: str) -> frozenset[str]:
    return frozenset(f"{folder}/{name}" for name in ("RECORD", *SIGNATURES))


def _recorded(path: str, stated: str, size: str, problems: list[Problem]) -> Recorded | None:
    """Read hash and size of one row, or add what is wrong with them to `problems`."""
    algorithm, equals, digest = stated.partition("=")
    algorithm, length = algorithm.strip().lower(), size.strip()
    case = text = None
    if not stated:
        case, text = "record-no-hash", "has no hash in RECORD"
    elif algorithm in _WEAK:
        case, text = "record-weak-hash", f"has only a {algorithm} in RECORD, where sha256 or better is needed"
    elif algorithm not in STRONG or not equals:
        case, text = "record-unknown-hash", f"has a hash of an unknown kind in RECORD: {stated[:40]!r}"
    elif length and not (length.isascii() and length.isdigit()):
        case, text = "record-size", f"has a size in RECORD that is no number: {length[:40]!r}"
    if case and text:
        problems.append(Problem(case=case, text=text, member=path))
        return None
    return Recorded(
        algorithm=algorithm, digest=digest.strip().rstrip("="), size=int(length) if length else None
    )
