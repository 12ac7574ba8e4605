from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from factory import make_wheel
from layerkit.errors import NetworkError, ResolutionError
from layerkit.lock.uv import Question, UnsatisfiableError, Uv, stand_in
from layerkit.target import target

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.store import Store
    from loopback import Loopback


def _chosen(uv: Uv, *requirements: str) -> dict[str, str]:
    return {one.name: one.version for one in uv.resolve(Question(requirements=requirements))}


def test_the_stand_in_answers_what_the_runtime_would(store: Store) -> None:
    path = stand_in(target("py38", "arm64"), store)
    said = json.loads(subprocess.run([path, "-I", "-c", "x"], capture_output=True, check=True).stdout)
    assert said["markers"]["python_version"] == "3.8"
    assert said["os"] == {"name": "manylinux", "major": 2, "minor": 26}
    assert said["arch"] == "aarch64"
    assert said["sys_executable"] == str(path)


def test_the_stand_in_is_written_once(store: Store) -> None:
    first = stand_in(target("py312"), store)
    written = first.stat().st_mtime_ns
    assert stand_in(target("py312"), store) == first
    assert first.stat().st_mtime_ns == written
    assert stand_in(target("py311"), store) != first


def test_a_store_with_quotes_and_spaces_in_its_path(tmp_path: Path) -> None:
    from layerkit.store import Store

    path = stand_in(target("py312"), Store(tmp_path / "it's a store"))
    said = json.loads(subprocess.run([path], capture_output=True, check=True).stdout)
    assert said["sys_executable"] == str(path)


@pytest.mark.parametrize(("runtime", "version"), [("py311", "1.0"), ("py312", "3.0"), ("py37", "0.5")])
def test_the_newest_version_with_a_wheel_for_the_runtimes_glibc_is_chosen(
    store: Store, index: Loopback, wheels: Path, tmp_path: Path, runtime: str, version: str
) -> None:
    for minor in ("37", "311", "312"):
        abi = f"cp{minor}-cp{minor}" + ("m" if minor == "37" else "")
        make_wheel(wheels, "glib", "0.5", tag=f"{abi}-manylinux2014_x86_64")
        make_wheel(wheels, "glib", "1.0", tag=f"{abi}-manylinux_2_26_x86_64")
        make_wheel(wheels, "glib", "2.0", tag=f"{abi}-manylinux_2_28_x86_64")
        make_wheel(wheels, "glib", "3.0", tag=f"{abi}-manylinux_2_34_x86_64")
        make_wheel(wheels, "glib", "4.0", tag=f"{abi}-manylinux_2_35_x86_64")
    assert index.names()
    assert _chosen(Uv(target(runtime), store, tmp_path), "glib") == {"glib": version}


def test_an_earlier_choice_is_kept_while_it_fits(
    store: Store, index: Loopback, wheels: Path, tmp_path: Path
) -> None:
    for version in ("1.0", "2.0"):
        make_wheel(wheels, "demo", version)
    earlier = 'lock-version = "1.0"\ncreated-by = "us"\n[[packages]]\nname = "demo"\nversion = "1.0"\n'
    uv = Uv(target("py312"), store, tmp_path)
    kept = uv.resolve(Question(requirements=("demo",), preferences=earlier))
    moved = uv.resolve(Question(requirements=("demo",), preferences=earlier, arguments=("--upgrade",)))
    assert [one.version for one in (*kept, *moved)] == ["1.0", "2.0"]
    assert index.asked("demo") >= 0


def test_what_does_not_fit_together_is_said_in_uvs_words(
    store: Store, index: Loopback, wheels: Path, tmp_path: Path
) -> None:
    make_wheel(wheels, "upper", requires=["lower<1"])
    make_wheel(wheels, "lower", "2.0")
    assert index.names()
    with pytest.raises(UnsatisfiableError, match=r"upper\s+depend\s+on\s+lower<1"):
        _chosen(Uv(target("py312"), store, tmp_path), "upper")


def test_an_index_that_does_not_answer_is_a_network_error(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://user:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    with pytest.raises(NetworkError, match=r"Failed to fetch") as refused:
        _chosen(Uv(target("py312"), store, tmp_path), "demo")
    assert "secret" not in str(refused.value)


def test_a_proof_that_goes_through_every_release_is_shortened(
    store: Store, index: Loopback, wheels: Path, tmp_path: Path
) -> None:
    for number in range(60):
        make_wheel(wheels, "upper", f"{number}.0", requires=[f"lower=={number}.0"])
        make_wheel(wheels, "lower", f"{number}.0", requires=[f"leaf=={100 + number}"])
    make_wheel(wheels, "leaf", "1.0")
    assert index.names()
    with pytest.raises(UnsatisfiableError, match="lines of the proof left out") as refused:
        _chosen(Uv(target("py312"), store, tmp_path), "upper")
    assert refused.value.what.count("\n") < 25


def test_what_is_not_here_offline_is_a_network_error(
    store: Store, index: Loopback, wheels: Path, tmp_path: Path
) -> None:
    make_wheel(wheels, "demo")
    assert index.names()
    with pytest.raises(NetworkError, match="demo"):
        Uv(target("py312"), store, tmp_path, offline=True).resolve(Question(requirements=("demo",)))


def test_a_requirement_that_uv_cannot_read_is_an_error_of_ours(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ResolutionError):
        _chosen(Uv(target("py312"), store, tmp_path), "demo===")


def test_a_newer_version_without_a_wheel_is_noticed(
    store: Store, index: Loopback, wheels: Path, tmp_path: Path
) -> None:
    make_wheel(wheels, "demo", "1.0")
    make_wheel(wheels, "other", "1.0")
    index.add("demo-2.0.tar.gz", b"source")
    uv = Uv(target("py312"), store, tmp_path)
    assert uv.unbuilt({"demo": "1.0", "other": "1.0"}, ()) == {"demo": "2.0"}


def test_the_wheels_of_a_version_are_listed_for_all_platforms(
    store: Store, index: Loopback, wheels: Path, tmp_path: Path
) -> None:
    make_wheel(wheels, "demo", tag="cp310-cp310-manylinux2014_x86_64", requires_python=">=3.9")
    make_wheel(wheels, "demo", tag="cp39-cp39-win_amd64", requires_python=">=3.9")
    uv = Uv(target("py312"), store, tmp_path)
    found = uv.wheels_of("demo==1.0", ())
    assert found is not None
    assert {wheel.filename for wheel in found.wheels} == set(index.names())
    assert uv.newest_fitting("demo", ()) is None


_AT_ONCE = """
import threading
from layerkit.lock.places import uv_binary

begin, found = threading.Barrier(8), []

def ask():
    begin.wait()
    found.append(uv_binary())

threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(found) == 8, found
"""


def test_its_program_is_found_by_threads_that_ask_first_and_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", _AT_ONCE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
