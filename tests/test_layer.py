from __future__ import annotations

import hashlib
import os
import resource
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct, field
from msgspec.structs import replace

from factory import make_wheel
from layerkit.archive import Archive, Piece, write_run
from layerkit.errors import ConfigError, LayerkitError, StorageError, WheelError
from layerkit.layer.zips import BuiltLayer, compose_layers
from layerkit.plan import Plan, PlannedLayer
from layerkit.prepare import PreparedWheel, prepare
from layerkit.store import Store
from layerkit.target import target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from factory import Content

SITE = "python/lib/python3.12/site-packages"
TARGET = target("py312")


class Bench(Struct):
    """Wheels made to order, prepared, and composed into layers in a folder of the test."""

    folder: Path
    prepared: dict[str, PreparedWheel] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def wheel(self, name: str, files: Mapping[str, Content], **how: object) -> None:
        made = make_wheel(self.folder, name, files=files, **how)  # type: ignore[arg-type]
        store = Store(self.folder / "store")
        self.prepared[name] = prepare(made.path, made.filename, made.sha256, TARGET, store)

    def plan(self, **layers: tuple[str, ...]) -> Plan:
        planned = tuple(
            PlannedLayer(name=name, roots=packages, packages=packages, beneath=(), zipped=0, unzipped=0)
            for name, packages in layers.items()
        )
        return Plan(target_key=TARGET.key, layers=planned, stacks=(), left_out=(), why={})

    def compose(
        self, collisions: Mapping[str, str] | None = None, **layers: tuple[str, ...]
    ) -> tuple[BuiltLayer, ...]:
        return compose_layers(self.plan(**layers), self.prepared, self.out, "py312-x-1", collisions or {})

    def one(self, *packages: str, collisions: Mapping[str, str] | None = None) -> BuiltLayer:
        (built,) = self.compose(collisions, all=packages)
        return built

    def refused(self, *packages: str, collisions: Mapping[str, str] | None = None) -> LayerkitError:
        with pytest.raises(LayerkitError) as caught:
            self.one(*packages, collisions=collisions)
        assert not list(self.out.glob("*")), "nothing is written when a layer is refused"
        return caught.value


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def contents(path: Path) -> dict[str, bytes]:
    with Archive.open(path) as archive:
        return {member.name: archive.read(member) for member in archive.members}


def test_layer_holds_its_packages_in_name_order(bench: Bench) -> None:
    bench.wheel("zeta", {"zeta.py": "z = 1\n"})
    bench.wheel("alpha", {"alpha/__init__.py": "a = 1\n" * 500, "alpha/data.bin": bytes(range(256))})
    built = bench.one("zeta", "alpha")
    assert built.path == bench.out / "py312-x-1-all.zip"
    assert built.packages == ("alpha", "zeta")
    found = contents(built.path)
    modules = [name for name in found if ".dist-info" not in name]
    assert modules == [f"{SITE}/alpha/__init__.py", f"{SITE}/alpha/data.bin", f"{SITE}/zeta.py"]
    assert found[f"{SITE}/alpha/data.bin"] == bytes(range(256))
    assert built.entries == len(found)
    assert built.unzipped == sum(map(len, found.values()))
    content = built.path.read_bytes()
    assert (built.size, built.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_others_accept_the_zip(bench: Bench) -> None:
    bench.wheel(
        "demo", {"demo/__init__.py": "", "demo/ü.txt": "ü" * 100, "demo/run": "#!"}, executable=["demo/run"]
    )
    built = bench.one("demo")
    for command in (["unzip", "-tq"], [sys.executable, "-m", "zipfile", "-t"]):
        done = subprocess.run([*command, str(built.path)], check=True, capture_output=True, text=True)
        assert not done.stderr
    subprocess.run(["unzip", "-q", built.path, "-d", bench.folder / "opt"], check=True)
    laid = {
        str(path.relative_to(bench.folder / "opt")): path.read_bytes()
        for path in (bench.folder / "opt").rglob("*")
        if path.is_file()
    }
    assert laid == contents(built.path)
    assert stat.S_IMODE((bench.folder / "opt" / SITE / "demo" / "run").stat().st_mode) == 0o755


def with_dockerfile(
    bench: Bench, files: Mapping[str, bytes], *packages: str, collisions: Mapping[str, str] | None = None
) -> BuiltLayer:
    write_run(bench.folder / "opt.run", [Piece(name=name, data=data) for name, data in files.items()], b"")
    made = bench.plan(all=packages)
    layers = (replace(made.layers[0], dockerfile="docker/x.Dockerfile"),)
    (built,) = compose_layers(
        replace(made, layers=layers),
        bench.prepared,
        bench.out,
        "py312-x-1",
        collisions or {},
        {"all": bench.folder / "opt.run"},
    )
    return built


def test_what_a_dockerfile_left_lies_beside_the_packages(bench: Bench) -> None:
    bench.wheel("demo", {"demo.py": "own"})
    built = with_dockerfile(bench, {"lib/libx.so": b"x", "bin/x": b"y"}, "demo")
    found = contents(built.path)
    assert (found["lib/libx.so"], found[f"{SITE}/demo.py"]) == (b"x", b"own")
    assert built.packages == ("demo",)
    assert with_dockerfile(bench, {"lib/libx.so": b"x"}).entries == 1


def test_files_of_a_dockerfile_and_of_packages_may_not_differ_under_one_path(bench: Bench) -> None:
    bench.wheel("demo", {"demo.py": "own"})
    files = {f"{SITE}/demo.py": b"other"}
    with pytest.raises(WheelError, match="different files in demo and dockerfile"):
        with_dockerfile(bench, files, "demo")
    for winner, kept in (("dockerfile", b"other"), ("demo", b"own")):
        built = with_dockerfile(bench, files, "demo", collisions={f"{SITE}/demo.py": winner})
        assert contents(built.path)[f"{SITE}/demo.py"] == kept


def test_several_layers_at_once(bench: Bench) -> None:
    names = [f"p{index}" for index in range(9)]
    for name in names:
        bench.wheel(name, {f"{name}.py": name * 1000})
    built = bench.compose(None, **{f"l{name}": (name,) for name in names})
    assert [layer.name for layer in built] == [f"l{name}" for name in names]
    for layer, name in zip(built, names, strict=True):
        assert contents(layer.path)[f"{SITE}/{name}.py"] == name.encode() * 1000
    assert sorted(path.name for path in bench.out.iterdir()) == sorted(layer.path.name for layer in built)


def test_layer_without_packages_has_no_zip_and_loses_an_old_one(bench: Bench) -> None:
    bench.wheel("demo", {"demo.py": ""})
    bench.one("demo")
    assert bench.compose(None, all=()) == ()
    assert list(bench.out.iterdir()) == []
    assert [layer.name for layer in bench.compose(None, empty=(), all=("demo",))] == ["all"]


def test_old_zip_is_replaced_whole(bench: Bench) -> None:
    bench.wheel("demo", {"demo.py": ""})
    bench.out.mkdir()
    old = bench.out / "py312-x-1-all.zip"
    old.write_bytes(b"x" * 100_000)
    old.chmod(0o600)
    before = os.umask(0o022)
    try:
        built = bench.one("demo")
    finally:
        os.umask(before)
    assert stat.S_IMODE(built.path.stat().st_mode) == 0o644
    assert built.path.stat().st_size == built.size < 10_000


def test_same_file_in_two_packages_is_kept_once(bench: Bench) -> None:
    shared = "shared = 1\n" * 50
    bench.wheel("one", {"space/__init__.py": shared, "space/one.py": "", "space/empty.py": ""})
    bench.wheel(
        "two",
        {"space/__init__.py": shared, "space/two.py": "", "space/empty.py": ""},
        stored=["space/__init__.py", "space/empty.py"],
    )
    bench.wheel("three", {"space/__init__.py": shared})
    built = bench.one("one", "two", "three")
    found = contents(built.path)
    assert found[f"{SITE}/space/__init__.py"] == shared.encode()
    assert {f"{SITE}/space/one.py", f"{SITE}/space/two.py", f"{SITE}/space/empty.py"} < found.keys()
    total = sum(bench.prepared[name].entries for name in ("one", "two", "three"))
    assert built.entries == len(found) == total - 3
    assert built.unzipped == sum(map(len, found.values()))
    with zipfile.ZipFile(built.path) as archive:
        assert archive.testzip() is None


def test_different_files_under_one_path_are_refused_with_the_way_out(bench: Bench) -> None:
    bench.wheel("one", {"tests/__init__.py": "one", "one.py": ""})
    bench.wheel("two", {"tests/__init__.py": "two", "two.py": ""})
    error = bench.refused("one", "two")
    assert isinstance(error, WheelError)
    assert error.where == "layer all"
    assert f"{SITE}/tests/__init__.py: different files in one and two" in error.what
    assert "[tool.layerkit.collisions]" in str(error.fix)


def test_every_collision_is_listed_up_to_a_number(bench: Bench) -> None:
    for name in ("one", "two", "three"):
        bench.wheel(name, {f"same/f{index:02}.py": name for index in range(12)})
    what = bench.refused("one", "two", "three").what
    assert what.count("different files in one, three and two") == 10
    assert "and 2 more" in what


@pytest.mark.parametrize("winner", ["one", "two"])
def test_project_says_which_package_wins(bench: Bench, winner: str) -> None:
    bench.wheel("one", {"same.py": "one", "one.py": ""})
    bench.wheel("two", {"same.py": "two", "two.py": ""})
    found = contents(bench.one("one", "two", collisions={f"{SITE}/same.py": winner}).path)
    assert found[f"{SITE}/same.py"] == winner.encode()
    assert {f"{SITE}/one.py", f"{SITE}/two.py"} < found.keys()


def test_winner_must_bring_the_file(bench: Bench) -> None:
    bench.wheel("one", {"same.py": "one"})
    bench.wheel("two", {"same.py": "two"})
    bench.wheel("three", {"three.py": ""})
    error = bench.refused("one", "two", "three", collisions={f"{SITE}/same.py": "three"})
    assert isinstance(error, ConfigError)
    assert error.what == "three does not bring this file"
    assert error.fix == "name one of one, two"
    assert "same.py" in str(error.where)


@pytest.mark.parametrize(
    ("first", "second"),
    [("Same.py", "same.py"), ("caf\u00e9.py", "cafe\u0301.py"), ("straße.py", "STRASSE.py")],
)
def test_names_that_are_one_elsewhere_are_refused(bench: Bench, first: str, second: str) -> None:
    bench.wheel("one", {first: "x = 1"})
    bench.wheel("two", {second: "x = 1"})
    what = bench.refused("one", "two").what
    assert f"one ({SITE}/{first}) and two ({SITE}/{second})" in what
    built = bench.one("one", "two", collisions={f"{SITE}/{second}": "two"})
    assert f"{SITE}/{second}" in contents(built.path)
    assert f"{SITE}/{first}" not in contents(built.path)


def test_file_where_another_package_has_a_folder(bench: Bench) -> None:
    bench.wheel("one", {"thing/deep/a.py": ""})
    bench.wheel("two", {"thing": ""})
    assert f"{SITE}/thing: a file in two and a folder in one" in bench.refused("one", "two").what


def test_collisions_of_other_layers_do_not_matter(bench: Bench) -> None:
    bench.wheel("one", {"same.py": "one"})
    bench.wheel("two", {"same.py": "two"})
    built = bench.compose({"elsewhere": "nobody"}, first=("one",), second=("two",))
    assert [contents(layer.path)[f"{SITE}/same.py"] for layer in built] == [b"one", b"two"]


def test_one_refused_layer_stops_all_before_anything_is_written(bench: Bench) -> None:
    bench.wheel("one", {"same.py": "one"})
    bench.wheel("two", {"same.py": "two"})
    with pytest.raises(WheelError):
        bench.compose(None, good=("one",), bad=("one", "two"))
    assert not bench.out.exists()


def test_folder_where_a_zip_should_be(bench: Bench) -> None:
    bench.wheel("demo", {"demo.py": ""})
    (bench.out / "py312-x-1-b.zip").mkdir(parents=True)
    with pytest.raises(StorageError, match="a folder stands where the file belongs"):
        bench.compose(None, a=("demo",), b=("demo",), c=("demo",))
    assert not list(bench.out.glob(".*")), "no draft is left"


def test_output_folder_that_is_a_file(bench: Bench) -> None:
    bench.wheel("demo", {"demo.py": ""})
    bench.out.touch()
    with pytest.raises(StorageError, match="is a file; move it away"):
        bench.one("demo")


def test_disk_that_fills_up_while_a_zip_is_written(bench: Bench) -> None:
    bench.wheel("demo", {"demo.py": os.urandom(100_000)})
    bench.wheel("tiny", {"tiny.py": ""})
    old = bench.compose(None, big=("tiny",))[0].path
    content = old.read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(StorageError) as caught:
            bench.compose(None, big=("demo",))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.where == str(old), "the file is called by its own name, not by the draft's"
    assert "ulimit" in str(caught.value.fix)
    assert old.read_bytes() == content
    assert list(bench.out.iterdir()) == [old]


def test_run_that_was_cut_after_it_was_opened(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.wheel("demo", {"demo.py": os.urandom(5000)})
    import layerkit.layer.zips

    def cut_then_decide(*_: object) -> dict[int, frozenset[str]]:
        os.truncate(bench.prepared["demo"].path, 1000)
        return {}

    monkeypatch.setattr(layerkit.layer.zips, "decide", cut_then_decide)
    assert isinstance(bench.refused("demo"), WheelError)


KILLED = """
import os, sys
from pathlib import Path
from layerkit import atomic
atomic.create_beside(Path(sys.argv[1]))
os._exit(9)
"""


def test_leftovers_of_a_killed_run_are_swept(bench: Bench) -> None:
    bench.wheel("demo", {"demo.py": ""})
    bench.out.mkdir()
    subprocess.run([sys.executable, "-c", KILLED, str(bench.out / "py312-x-1-all.zip")], check=False)
    assert len(list(bench.out.iterdir())) == 1
    built = bench.one("demo")
    assert list(bench.out.iterdir()) == [built.path]


AGAIN = """
import os, sys
from pathlib import Path
os.umask(int(sys.argv[2], 8))
sys.path[:0] = sys.argv[3:]
from test_layer import Bench
bench = Bench(Path(sys.argv[1]))
scripts = {"console_scripts": {"beta": "beta:main"}}
bench.wheel("beta", {"beta/b.py": "b" * 999, "beta/a.py": ""}, entry_points=scripts)
bench.wheel("alpha", {"alpha.py": "", "beta/a.py": ""})
print([layer.sha256 for layer in bench.compose(None, one=("beta", "alpha"), two=("alpha",))])
"""


def test_same_bytes_under_other_circumstances(tmp_path: Path) -> None:
    said = set()
    for umask, zone, seed in [("022", "UTC", "1"), ("077", "Asia/Tokyo", "2"), ("000", "America/Lima", "3")]:
        folder = tmp_path / f"with {umask}"
        changed = {"TZ": zone, "PYTHONHASHSEED": seed, "LC_ALL": "C", "SOURCE_DATE_EPOCH": seed}
        command = [sys.executable, "-c", AGAIN, str(folder), umask, str(Path(__file__).parent)]
        said.add(subprocess.run(command, check=True, capture_output=True, env=os.environ | changed).stdout)
    assert len(said) == 1


def test_thousands_of_names_cost_milliseconds(bench: Bench) -> None:
    from time import perf_counter

    from layerkit.archive import Run
    from layerkit.layer.collisions import decide

    for package in range(10):
        bench.wheel(f"p{package}", {f"p{package}/d{i % 37}/module_{i}.py": "" for i in range(600)})
    names = tuple(bench.prepared)
    runs = [Run.open(bench.prepared[name].path) for name in names]
    assert sum(len(run.names()) for run in runs) > 6000

    def seconds() -> float:
        start = perf_counter()
        assert decide("all", names, runs, {}) == {}
        return perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.02
