"""A prepared wheel is the wheel as it lies in a layer: verified, placed, recorded, ready to be copied."""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import io
import json
import marshal
import multiprocessing
import os
import subprocess
import sys
import time
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from elves import elf
from factory import digest, make_wheel
from layerkit import prepare as module
from layerkit.archive import Run, compose, pieces
from layerkit.bytecode import Interpreter
from layerkit.bytecode.compiler import Compiler
from layerkit.errors import ConfigError, WheelError
from layerkit.prepare import Amount, PreparedWheel, key, load, prepare
from layerkit.project import Slimming
from layerkit.refine import WHOLE as WHOLE_AT_ONCE
from layerkit.settings import Settings
from layerkit.slim import Rules, rules
from layerkit.store import Store
from layerkit.strip import strip
from layerkit.target import Layout, Target, target
from layerkit.workshop import Workshop

if TYPE_CHECKING:
    from pathlib import Path

    from factory import BuiltWheel, Row
    from layerkit.project import BytecodeRule

PY312 = target("py312")
OWN = target(f"3.{sys.version_info[1]}")
SITE = "python/lib/python3.12/site-packages"
INFO = f"{SITE}/demo-1.0.dist-info"
WHOLE = Settings()
SLIM = Settings(rules=rules(Slimming(), None))


def made(built: BuiltWheel, store: Store, settings: Settings = WHOLE, on: Target = PY312) -> PreparedWheel:
    return prepare(built.path, built.filename, built.sha256, on, store, settings)


def layer(folder: Path, *prepared: PreparedWheel) -> zipfile.ZipFile:
    """Compose a layer of prepared wheels and open it, as anybody else would."""
    path = folder / "layer.zip"
    compose(path, [Run.open(each.path) for each in prepared])
    return zipfile.ZipFile(path)


def contents(folder: Path, *prepared: PreparedWheel) -> dict[str, bytes]:
    with layer(folder, *prepared) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def full_wheel(folder: Path) -> BuiltWheel:
    """Return a wheel with something of everything that a wheel may hold."""
    return make_wheel(
        folder,
        files={
            "demo/__init__.py": "def main(): return 0\n",
            "demo/_fast.cpython-312-x86_64-linux-gnu.so": b"\x7fELF",
            "demo/tool": "#!/bin/sh\n",
            "demo/__pycache__/__init__.cpython-312.pyc": b"stale",
            "spaces/inner/é,x.py": "",
            "demo.pth": "import demo\n",
        },
        data={
            "purelib/extra.py": "x = 1\n",
            "platlib/more.abi3.so": b"\x7fELF",
            "scripts/run.py": "#!python\nprint()\n",
            "scripts/plain": "#!/bin/sh\n",
            "scripts/go": "#!python\nold wrapper\n",
            "data/lib/libdemo.so.1": b"\x7fELF",
            "data/share/demo/doc.txt": "text",
            "headers/demo.h": "#pragma once\n",
        },
        executable={"demo/tool"},
        entry_points={"console_scripts": {"go": "demo:main [x]"}, "gui_scripts": {"gogui": "demo:main"}},
        info_files={
            "INSTALLER": "pip\n",
            "REQUESTED": "",
            "direct_url.json": "{}",
            "licenses/LICENSE": "free",
        },
        unrecorded={"demo-1.0.dist-info/RECORD.jws": "signed"},
        metadata={"License-Expression": "MIT", "Requires-Dist": "six>=1.*"},
        tag="cp312-cp312-manylinux_2_17_x86_64",
    )


EVERYTHING = {
    f"{SITE}/demo/__init__.py",
    f"{SITE}/demo/_fast.cpython-312-x86_64-linux-gnu.so",
    f"{SITE}/demo/tool",
    f"{SITE}/spaces/inner/é,x.py",
    f"{SITE}/demo.pth",
    f"{SITE}/extra.py",
    f"{SITE}/more.abi3.so",
    "bin/run.py",
    "bin/plain",
    "bin/go",
    "bin/gogui",
    "lib/libdemo.so.1",
    "share/demo/doc.txt",
    "include/python3.12/demo/demo.h",
    f"{INFO}/INSTALLER",
    f"{INFO}/METADATA",
    f"{INFO}/RECORD",
    f"{INFO}/WHEEL",
    f"{INFO}/entry_points.txt",
    f"{INFO}/licenses/LICENSE",
}


def test_every_file_lies_where_lambda_looks(tmp_path: Path, store: Store) -> None:
    found = contents(tmp_path, made(full_wheel(tmp_path), store))
    assert set(found) == EVERYTHING
    assert found[f"{SITE}/extra.py"] == b"x = 1\n"
    assert found["bin/run.py"] == b"#!/var/lang/bin/python3.12\nprint()\n"
    assert found["bin/plain"] == b"#!/bin/sh\n"
    assert found["bin/go"].startswith(b"#!/var/lang/bin/python3.12\n")
    assert b"demo:main" in found["bin/go"]
    assert found[f"{INFO}/INSTALLER"] == b"layerkit\n"


def test_the_flat_layout_has_its_modules_in_python(tmp_path: Path, store: Store) -> None:
    found = contents(tmp_path, made(full_wheel(tmp_path), store, Settings(layout="flat")))
    assert set(found) == {name.replace(SITE, "python") for name in EVERYTHING}


def test_only_scripts_and_what_was_executable_can_be_executed(tmp_path: Path, store: Store) -> None:
    with layer(tmp_path, made(full_wheel(tmp_path), store)) as archive:
        modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}
    executable = {"bin/go", "bin/gogui", "bin/run.py", "bin/plain", f"{SITE}/demo/tool"}
    assert {name for name, mode in modes.items() if mode == 0o100755} == executable
    assert {mode for name, mode in modes.items() if name not in executable} == {0o100644}


@pytest.mark.parametrize(("layout", "up"), [("versioned", "../../../../"), ("flat", "../")])
def test_record_lists_what_is_there_and_nothing_else(
    tmp_path: Path, store: Store, layout: Layout, up: str
) -> None:
    site = PY312.site_packages(layout)
    found = contents(tmp_path, made(full_wheel(tmp_path), store, Settings(layout=layout)))
    text = found[f"{site}/demo-1.0.dist-info/RECORD"].decode()
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[-1] == ["demo-1.0.dist-info/RECORD", "", ""]
    paths = {os.path.normpath(f"{site}/{path}"): (hashed, size) for path, hashed, size in rows[:-1]}
    assert len(paths) == len(rows) - 1
    expected = {n: (digest(c), str(len(c))) for n, c in found.items() if not n.endswith("/RECORD")}
    assert paths == expected
    assert f"{up}bin/go," in text
    assert f"{up}lib/libdemo.so.1," in text


@pytest.mark.parametrize("layout", ["versioned", "flat"])
def test_importlib_metadata_works_on_the_unzipped_layer(tmp_path: Path, store: Store, layout: Layout) -> None:
    with layer(tmp_path, made(full_wheel(tmp_path), store, Settings(layout=layout))) as archive:
        archive.extractall(tmp_path / "opt")
    site = tmp_path / "opt" / PY312.site_packages(layout)
    (found,) = importlib.metadata.distributions(path=[str(site)])
    assert (found.metadata["Name"], found.version) == ("demo", "1.0")
    assert found.read_text("INSTALLER") == "layerkit\n"
    assert found.files is not None
    assert len(found.files) == len(EVERYTHING)
    for file in found.files:
        content = file.read_binary()
        if file.hash:
            assert f"{file.hash.mode}={file.hash.value}" == digest(content)
            assert file.size == len(content)
    assert [point.value for point in found.entry_points if point.name == "go"] == ["demo:main [x]"]


def test_it_says_what_it_holds(tmp_path: Path, store: Store) -> None:
    built = full_wheel(tmp_path)
    prepared = made(built, store)
    assert (prepared.name, prepared.version, prepared.licence) == ("demo", "1.0", "MIT")
    assert prepared.wheel_sha256 == built.sha256
    assert prepared.key == key(built.sha256, PY312, "demo", WHOLE)
    assert prepared.path == store.path("prepared", prepared.key, ".run")
    assert prepared.modules == ("demo", "extra", "more", "spaces")
    assert prepared.dropped == {
        "shipped-bytecode": Amount(count=1, bytes=5),
        "installer-records": Amount(count=4, bytes=12),
        "scripts-replaced-by-launchers": Amount(count=1, bytes=21),
    }
    assert prepared.recipe == module.RECIPE
    found = contents(tmp_path, prepared)
    assert prepared.entries == len(found)
    assert prepared.unzipped == sum(map(len, found.values()))
    assert 0 < prepared.zipped < prepared.path.stat().st_size
    assert len(prepared.notes) == 2
    assert "six>=1.*" in prepared.notes[0]
    assert prepared.notes[1] == "demo.pth runs at every start of the function"


def test_what_the_rules_name_is_left_out_and_counted(tmp_path: Path, store: Store) -> None:
    files = {
        "demo/__init__.py": "from demo.tests import used\n",
        "demo/tests/__init__.py": "",
        "demo/tests/used.py": "",
        "demo/tests/unused.py": "1234567",
        "demo/fast.h": "12",
        "demo/keep.h": "",
    }
    points = {"console_scripts": {"go": "demo:main"}}
    built = make_wheel(tmp_path, files=files, data={"scripts/run": "#!/bin/sh\n"}, entry_points=points)
    slim = Slimming(switched=(("scripts", True),), keep=(("demo", ("keep.h",)),))
    prepared = made(built, store, Settings(rules=rules(slim, None)))
    found = contents(tmp_path, prepared)
    assert {path for path in found if ".dist-info" not in path} == {
        f"{SITE}/demo/{name}" for name in ("__init__.py", "tests/__init__.py", "tests/used.py", "keep.h")
    }
    assert prepared.dropped == {
        "test-suites": Amount(count=1, bytes=7),
        "headers": Amount(count=1, bytes=2),
        "scripts": Amount(count=1, bytes=10),
    }
    assert b"unused" not in found[f"{INFO}/RECORD"]
    assert made(built, store).key != prepared.key


def test_rules_that_do_not_fit_the_wheel_leave_nothing_behind(tmp_path: Path, store: Store) -> None:
    built = make_wheel(tmp_path, "botocore", files={"botocore/data/s3/1/service-2.json": "{}"})
    assert made(built, store, Settings(rules=Rules(services=("s3",)))).entries
    count = len(list(store.root.glob("prepared/*/*")))
    with pytest.raises(ConfigError, match="no service 'sqs'"):
        made(built, store, Settings(rules=Rules(services=("sqs",))))
    assert len(list(store.root.glob("prepared/*/*"))) == count


def test_the_imports_of_a_long_source_are_sought_at_its_beginning(tmp_path: Path, store: Store) -> None:
    long = "import demo.tests.a\n" + "#" * (20 << 20) + "\nimport demo.tests.b\n"
    files = {"demo/x.py": long, "demo/tests/a.py": "", "demo/tests/b.py": ""}
    found = contents(tmp_path, made(make_wheel(tmp_path, files=files), store, SLIM))
    assert f"{SITE}/demo/tests/a.py" in found
    assert f"{SITE}/demo/tests/b.py" not in found


def test_what_its_author_compressed_keeps_its_stream(tmp_path: Path, store: Store) -> None:
    noise = hashlib.shake_256(b"seed").digest(100_000)
    built = make_wheel(tmp_path, files={"a.py": "x = 1\n" * 99, "b.bin": noise})
    with layer(tmp_path, made(built, store)) as ours, zipfile.ZipFile(built.path) as theirs:
        for name in ("a.py", "b.bin"):
            assert ours.getinfo(f"{SITE}/{name}").compress_size == theirs.getinfo(name).compress_size


def test_what_its_author_did_not_compress_is_compressed_where_that_is_worth_it(
    tmp_path: Path, store: Store
) -> None:
    noise = hashlib.shake_256(b"seed").digest(100_000)
    built = make_wheel(tmp_path, files={"a.txt": "x" * 99, "b.bin": noise}, stored=["a.txt", "b.bin"])
    with layer(tmp_path, made(built, store)) as ours:
        kinds = {name: ours.getinfo(f"{SITE}/{name}").compress_type for name in ("a.txt", "b.bin")}
    assert kinds == {"a.txt": zipfile.ZIP_DEFLATED, "b.bin": zipfile.ZIP_STORED}


def test_what_its_author_compressed_badly_is_compressed_anew(tmp_path: Path, store: Store) -> None:
    text = "".join(f"line {n}\n" for n in range(100_000))
    built = make_wheel(tmp_path, files={"a.txt": text, "b.txt": text[:1000]}, level=1)
    with layer(tmp_path, made(built, store)) as ours, zipfile.ZipFile(built.path) as theirs:
        assert ours.read(f"{SITE}/a.txt").decode() == text
        assert ours.getinfo(f"{SITE}/a.txt").compress_size < theirs.getinfo("a.txt").compress_size
        assert ours.getinfo(f"{SITE}/b.txt").compress_size == theirs.getinfo("b.txt").compress_size


def test_a_long_stream_is_tried_by_its_beginning(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = hashlib.shake_256(b"seed").digest(300_000)
    built = make_wheel(tmp_path, files={"a.bin": noise})
    tried: list[int] = []

    def compressed(data: bytes) -> tuple[int, bytes | bytearray]:
        tried.append(len(data))
        return pieces.compressed(data)

    monkeypatch.setattr("layerkit.refine.compressed", compressed)
    with layer(tmp_path, made(built, store)) as ours, zipfile.ZipFile(built.path) as theirs:
        assert ours.getinfo(f"{SITE}/a.bin").compress_size == theirs.getinfo("a.bin").compress_size
    (beginning,) = tried
    assert 60_000 < beginning <= 64 << 10


def compiled(
    built: BuiltWheel, store: Store, bytecode: BytecodeRule = "beside", *, threads: int = 1
) -> PreparedWheel:
    """Prepare a wheel for the Python that runs the tests, with bytecode of that Python."""
    with Compiler([sys.executable]) as one:
        settings = Settings(bytecode=bytecode, interpreter=one.interpreter)
    with Workshop(lambda: Compiler([sys.executable]), threads=threads) as workshop:
        return prepare(built.path, built.filename, built.sha256, OWN, store, settings, workshop=workshop)


MODULES: dict[str, str | bytes] = {
    "demo/__init__.py": "import os\n",
    "demo/inner/mod.py": "def f(): return __file__\n",
    "demo/two.py": "print 'of another time'\n",
    "demo/not-a-module.py": "x = 1\n",
    "demo/1st/x.py": "x = 1\n",
    "demo/data.txt": "x = 1\n",
    "demo/__pycache__/inner.cpython-33.pyc": b"stale",
}
TAG = sys.implementation.cache_tag


def test_modules_that_can_be_imported_get_bytecode(tmp_path: Path, store: Store) -> None:
    built = make_wheel(tmp_path, files=MODULES, data={"scripts/run.py": "x = 1\n"})
    prepared = compiled(built, store)
    found = contents(tmp_path, prepared)
    site = OWN.site_packages("versioned")
    codes = {f"{site}/demo/__pycache__/__init__.{TAG}.pyc", f"{site}/demo/inner/__pycache__/mod.{TAG}.pyc"}
    assert {name for name in found if name.endswith(".pyc")} == codes
    assert {f"{site}/{name}" for name in MODULES if not name.endswith(".pyc")} <= set(found)
    assert prepared.bytecode == Amount(count=2, bytes=sum(len(found[code]) for code in codes))
    assert prepared.skipped == 1
    code = marshal.loads(found[f"{site}/demo/inner/__pycache__/mod.{TAG}.pyc"][16:])  # noqa: S302
    assert code.co_filename == f"/opt/{site}/demo/inner/mod.py"
    record = found[f"{site}/demo-1.0.dist-info/RECORD"].decode()
    for each in codes:
        assert f"{each.removeprefix(f'{site}/')},{digest(found[each])},{len(found[each])}\n" in record


def test_an_import_from_the_layer_takes_the_bytecode(tmp_path: Path, store: Store) -> None:
    files = {"demo/__init__.py": "", "demo/told.py": "import sys\nx = sys._getframe().f_code.co_filename\n"}
    with layer(tmp_path, compiled(make_wheel(tmp_path, files=files), store)) as archive:
        archive.extractall(tmp_path / "opt")
    site = tmp_path / "opt" / OWN.site_packages("versioned")
    (site / "demo" / "told.py").write_text("x = 'the source was read'")
    said = subprocess.run(
        [sys.executable, "-S", "-c", "import demo.told; print(demo.told.x)"],
        env={"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.strip() == str(site / "demo" / "told.py"), "Python puts the real path in its place"


def test_bytecode_alone_lies_where_its_source_lay(tmp_path: Path, store: Store) -> None:
    prepared = compiled(make_wheel(tmp_path, files=MODULES), store, "only")
    found = {
        name.removeprefix(f"{OWN.site_packages('versioned')}/demo/") for name in contents(tmp_path, prepared)
    }
    assert {"__init__.pyc", "inner/mod.pyc", "two.py", "not-a-module.py", "1st/x.py", "data.txt"} <= found
    assert not {"__init__.py", "inner/mod.py"} & found
    sizes = len(MODULES["demo/__init__.py"]) + len(MODULES["demo/inner/mod.py"])
    assert prepared.dropped["sources-replaced-by-bytecode"] == Amount(count=2, bytes=sizes)
    assert prepared.modules == ("demo",)


def test_packages_that_read_their_sources_keep_them(tmp_path: Path, store: Store) -> None:
    built = make_wheel(tmp_path, "numba", files={"numba/__init__.py": "x = 1\n"})
    found = contents(tmp_path, compiled(built, store, "only"))
    site = OWN.site_packages("versioned")
    assert {f"{site}/numba/__init__.py", f"{site}/numba/__pycache__/__init__.{TAG}.pyc"} <= set(found)


def test_any_number_of_threads_gives_the_same_bytes(tmp_path: Path) -> None:
    source = "def f_{0}(one, two=(1, 'text {0}')): return one in {{'GET', 'PUT', {0}}}\n" * 400
    files = {f"demo/m{number}.py": source.replace("{0}", str(number)) for number in range(60)}
    files |= {f"demo/{number}.bin": elf(size=9000 + number).decode("latin-1") for number in range(3)}
    built = make_wheel(tmp_path, files=files)
    ways = {compiled(built, Store(tmp_path / str(n)), threads=n).path.read_bytes() for n in (1, 4)}
    assert len(ways) == 1


def test_libraries_and_programs_are_stripped_but_for_those_that_were_patched(
    tmp_path: Path, store: Store
) -> None:
    odd = elf(payload=b"what it looks for")
    files: dict[str, str | bytes] = {
        "demo/_fast.so": elf(),
        "demo/odd.so": odd,
        "demo/plain.so": elf(tables=()),
        "demo.libs/libx.so.1": elf(),
    }
    built = make_wheel(
        tmp_path, files=files, data={"scripts/program": elf(kind=2)}, executable={"demo/_fast.so"}
    )
    prepared = made(built, store, Settings(strip=True))
    found = contents(tmp_path, prepared)
    assert found[f"{SITE}/demo/_fast.so"] == strip(elf()).content
    assert found["bin/program"] == strip(elf(kind=2)).content
    assert found[f"{SITE}/demo/odd.so"] == odd
    assert found[f"{SITE}/demo.libs/libx.so.1"] == elf()
    saved = len(elf()) - len(found[f"{SITE}/demo/_fast.so"])
    assert prepared.stripped == Amount(count=2, bytes=2 * saved)
    assert prepared.unstripped == {f"{SITE}/demo/odd.so": "bytes lie behind its last table"}
    with layer(tmp_path, prepared) as archive:
        modes = {one.filename: one.external_attr >> 16 for one in archive.infolist()}
    assert modes[f"{SITE}/demo/_fast.so"] == modes["bin/program"] == 0o100755
    left = contents(tmp_path, made(built, store))
    assert left[f"{SITE}/demo/_fast.so"] == elf()


def test_a_library_too_large_to_be_kept_in_memory_is_stripped_all_the_same(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("layerkit.refine.WHOLE", 1000)
    built = make_wheel(tmp_path, files={"demo/_fast.so": elf(), "demo/x.bin": bytes(5000)})
    found = contents(tmp_path, made(built, store, Settings(strip=True)))
    assert found[f"{SITE}/demo/_fast.so"] == strip(elf()).content
    assert found[f"{SITE}/demo/x.bin"] == bytes(5000)


def test_record_is_verified_to_the_last_byte(tmp_path: Path, store: Store) -> None:
    def forged(rows: list[Row]) -> list[Row]:
        return [(p, digest(b"else") if p.endswith((".pyc", "run")) else hashed, n) for p, hashed, n in rows]

    files: dict[str, str | bytes] = {
        "demo/__init__.py": "",
        "demo/__pycache__/x.pyc": b"dropped, and verified all the same",
    }
    built = make_wheel(tmp_path, files=files, data={"scripts/run": "#!python\n"}, record=forged)
    with pytest.raises(WheelError) as caught:
        made(built, store)
    assert "demo/__pycache__/x.pyc" in str(caught.value)
    assert "demo-1.0.data/scripts/run" in str(caught.value)
    assert load(store, key(built.sha256, PY312, "demo", WHOLE)) is None
    assert not list(store.root.glob("prepared/*/*"))


def test_a_stronger_hash_in_record_becomes_a_sha256(tmp_path: Path, store: Store) -> None:
    found = contents(tmp_path, made(make_wheel(tmp_path, algorithm="sha512"), store))
    assert b"sha512" not in found[f"{INFO}/RECORD"]


@pytest.mark.parametrize(
    ("data", "layout"),
    [
        ({"data/python/lib/python3.12/site-packages/demo/__init__.py": ""}, "versioned"),
        ({"data/python/demo/__init__.py": ""}, "flat"),
        ({"data/bin/run": "", "scripts/run": ""}, "versioned"),
        ({"data/bin/go": ""}, "versioned"),
        ({"data/bin/GO": ""}, "versioned"),
        ({"data/python": ""}, "versioned"),
        ({"data/python/lib/python3.12/site-packages/six-1.0.dist-info/METADATA": ""}, "versioned"),
    ],
)
def test_data_that_clashes_on_the_target_is_refused(
    tmp_path: Path, store: Store, data: dict[str, str], layout: Layout
) -> None:
    built = make_wheel(tmp_path, data=data, entry_points={"console_scripts": {"go": "demo:main"}})
    with pytest.raises(WheelError, match=r"data-collision|two-dist-infos"):
        made(built, store, Settings(layout=layout))


def test_the_same_wheel_gives_the_same_bytes(tmp_path: Path, store: Store) -> None:
    built = full_wheel(tmp_path)
    other = full_wheel(tmp_path / "other")
    second = Store(tmp_path / "second")
    assert made(built, store).path.read_bytes() == made(other, second).path.read_bytes()


def test_the_key_is_decided_by_all_that_decides_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    sha = "0" * 64
    python = Interpreter(version="3.12.1", tag="cpython-312")
    ways = [
        WHOLE,
        SLIM,
        Settings(layout="flat"),
        Settings(strip=True),
        Settings(bytecode="beside", interpreter=python),
        Settings(bytecode="only", interpreter=python),
        Settings(bytecode="beside", interpreter=replace(python, version="3.12.2")),
    ]
    keys = {key(sha, PY312, "demo", way) for way in ways}
    keys.add(key("1" * 64, PY312, "demo", WHOLE))
    keys.add(key(sha, target("py312", "arm64"), "demo", WHOLE))
    keys.add(key(sha, target("py313"), "demo", WHOLE))
    monkeypatch.setattr(module, "RECIPE", module.RECIPE + 1)
    keys.add(key(sha, PY312, "demo", WHOLE))
    assert len(keys) == len(ways) + 4


def test_bytecode_that_nobody_can_compile_is_as_good_as_none_wanted() -> None:
    assert key("0" * 64, PY312, "demo", Settings(bytecode="only")) == key("0" * 64, PY312, "demo", WHOLE)


def test_a_prepared_wheel_is_found_again_without_the_wheel(tmp_path: Path, store: Store) -> None:
    built = full_wheel(tmp_path)
    prepared = made(built, store)
    built.path.unlink()
    assert made(built, store) == prepared
    assert load(store, prepared.key) == prepared
    assert load(store, "f" * 64) is None


@pytest.mark.parametrize("keep", [0, 10, -1])
def test_a_damaged_prepared_wheel_is_prepared_anew(tmp_path: Path, store: Store, keep: int) -> None:
    built = full_wheel(tmp_path)
    prepared = made(built, store)
    whole = prepared.path.read_bytes()
    prepared.path.write_bytes(whole[:keep])
    assert load(store, prepared.key) is None
    assert made(built, store) == prepared
    assert prepared.path.read_bytes() == whole


def test_information_of_another_shape_counts_as_damage(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = made(full_wheel(tmp_path), store)
    for wrong in ("[]", "{}", "no json", json.dumps({"name": "demo"})):
        monkeypatch.setattr(json, "loads", lambda _, wrong=wrong: json.JSONDecoder().decode(wrong))
        assert load(store, prepared.key) is None


def test_a_wheel_that_is_not_the_expected_file_is_refused(tmp_path: Path, store: Store) -> None:
    built = make_wheel(tmp_path)
    with pytest.raises(WheelError, match="file-sha256"):
        prepare(built.path, built.filename, "0" * 64, PY312, store)


def _prepare_there(path: Path, filename: str, sha256: str, root: Path, made_by: Any, start: Any) -> None:
    """Run in another process: prepare, and count the times that work was done."""
    original = module._make

    def counted(*arguments: Any, **named: Any) -> None:
        with made_by.get_lock():
            made_by.value += 1
        time.sleep(0.1)
        original(*arguments, **named)

    setattr(module, "_make", counted)  # noqa: B010 - this process is thrown away
    start.wait()
    prepare(path, filename, sha256, PY312, Store(root))


def test_several_processes_prepare_once(tmp_path: Path, store: Store) -> None:
    built = full_wheel(tmp_path)
    context = multiprocessing.get_context("fork")
    made_by, start = context.Value("i", 0), context.Event()
    arguments = (built.path, built.filename, built.sha256, store.root, made_by, start)
    workers = [context.Process(target=_prepare_there, args=arguments) for _ in range(3)]
    for worker in workers:
        worker.start()
    start.set()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert made_by.value == 1
    assert load(store, key(built.sha256, PY312, "demo", WHOLE))


def test_threads_share_one_prepared_wheel(tmp_path: Path, store: Store) -> None:
    built = full_wheel(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: made(built, store), range(8)))
    assert len({id(each.path) for each in found}) > 1
    assert all(each == found[0] for each in found)


def test_memory_stays_flat_for_large_members(tmp_path: Path, store: Store) -> None:
    size = WHOLE_AT_ONCE + 1
    half = hashlib.shake_256(b"seed").digest(1 << 20) * 8 + bytes(size - (8 << 20))
    built = make_wheel(tmp_path, files={"big.bin": half}, data={"scripts/program": half})
    del half
    tracemalloc.start()
    try:
        prepared = made(built, store)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert prepared.unzipped > 2 * size
    assert peak < 16 << 20


def test_finding_a_hundred_takes_no_time(tmp_path: Path, store: Store) -> None:
    keys = [made(make_wheel(tmp_path, f"demo{n}"), store).key for n in range(10)] * 10
    best = min(_seconds(store, keys) for _ in range(5))
    # 4 ms where this was written; what must never happen is that more than the tail is read
    assert best < 0.05


def _seconds(store: Store, keys: list[str]) -> float:
    started = time.perf_counter()
    assert all(load(store, each) for each in keys)
    return time.perf_counter() - started
