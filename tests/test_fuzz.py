"""Archives, wheels and shared libraries, broken by chance: the project's own error or the right answer.

LAYERKIT_FUZZ is how many of each kind are tried; `make fuzz` tries many.
"""

from __future__ import annotations

import io
import os
import time
import tracemalloc
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elves import elf, loadable
from factory import make_wheel
from layerkit.archive import Archive, ArchiveError
from layerkit.check import check_zips
from layerkit.elf import UnreadableElfError
from layerkit.elf import read as read_elf
from layerkit.errors import WheelError
from layerkit.prepare import prepare
from layerkit.settings import Settings
from layerkit.store import Store
from layerkit.target import target
from layerkit.wheel import file_sha256
from zip_cases import ACCEPTED, REFUSED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")
TIMES = int(os.environ.get("LAYERKIT_FUZZ", "80"))
FUZZ = settings(
    max_examples=TIMES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True, database=None
)
MOST_MEMORY, MOST_SECONDS = 96 << 20, 10.0
ZIPS = [data for data, _ in ACCEPTED.values()] + [data for data, _ in REFUSED.values()]
ELVES = [elf(), loadable(needed=["libz.so.1"], versions={"libc.so.6": ["GLIBC_2.38"]}, rpath="$ORIGIN")]
# Bytes that mean something to a reader.
WORDS = [
    b"PK\1\2",
    b"PK\3\4",
    b"PK\5\6",
    b"PK\6\6",
    b"PK\6\7",
    b"PK\7\10",
    b"\xff" * 4,
    bytes(4),
    b"../",
    b"\x7fELF",
]


@st.composite
def broken(draw: st.DrawFn, whole: list[bytes]) -> bytes:
    """Draw one of the files with some of its bytes changed, lost, repeated or added."""
    data = bytearray(draw(st.sampled_from(whole)))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 12))
        what = draw(st.sampled_from(("change", "word", "lose", "repeat", "add", "cut")))
        if what == "change":
            data[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif what == "word":
            word = draw(st.sampled_from(WORDS))
            data[at : at + len(word)] = word
        elif what == "lose":
            del data[at : at + length]
        elif what == "repeat":
            data[at:at] = data[at : at + length]
        elif what == "add":
            data[at:at] = draw(st.binary(max_size=12))
        else:
            del data[at:]
    return bytes(data)


def bounded(work: Callable[[], T]) -> T:
    """Return what `work` returns, which may take so much and no more."""
    began = time.process_time()
    tracemalloc.start()
    try:
        return work()
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MOST_MEMORY
        assert time.process_time() - began < MOST_SECONDS


@FUZZ
@given(data=broken(ZIPS))
def test_what_the_reader_accepts_zipfile_reads_alike(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "some.zip"
    path.write_bytes(data)

    def read() -> dict[str, bytes]:
        with Archive.open(path) as archive:
            return {member.name: archive.read(member) for member in archive.members}

    with suppress(ArchiveError):
        found = bounded(read)
        with zipfile.ZipFile(path) as oracle:
            theirs = {one.filename: oracle.read(one) for one in oracle.infolist() if not one.is_dir()}
        assert found == theirs


@FUZZ
@given(data=st.data())
def test_wheels_are_prepared_or_refused_and_nothing_is_written_elsewhere(
    data: st.DataObject, tmp_path: Path
) -> None:
    built = make_wheel(
        tmp_path / "built",
        files={"demo/__init__.py": "x = 1\n", "demo/_c.abi3.so": loadable()},
        data={"scripts/run": "#!python\n"},
        entry_points={"console_scripts": {"go": "demo:main"}},
    )
    path = tmp_path / "some.whl"
    path.write_bytes(data.draw(broken([built.path.read_bytes()])))
    store = Store(tmp_path / "store")
    with suppress(WheelError):
        bounded(lambda: prepare(path, built.filename, file_sha256(path), target("py312"), store, Settings()))
    assert {one.name for one in tmp_path.iterdir()} <= {"built", "some.whl", "store"}


@FUZZ
@given(data=broken(ELVES))
def test_shared_libraries_are_read_or_refused(data: bytes) -> None:
    with suppress(UnreadableElfError):
        bounded(lambda: read_elf(io.BytesIO(data)))


@FUZZ
@given(data=broken(ELVES), other=broken(ZIPS))
def test_a_check_of_anything_is_a_report(data: bytes, other: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("python/a.so", data)
        archive.writestr("python/a-1.dist-info/METADATA", other)
        archive.writestr("python/a-1.dist-info/WHEEL", data)
        archive.writestr("python/a.pth", data)
        archive.writestr("python/__pycache__/a.cpython-312.pyc", data)
    (tmp_path / "b.zip").write_bytes(other)
    found = bounded(lambda: check_zips([tmp_path / "a.zip", tmp_path / "b.zip"], target("py312"), []))
    assert found.as_json()["findings"]
