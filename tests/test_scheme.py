"""Every file of a wheel has one place in a layer."""

from __future__ import annotations

import pytest

from layerkit.archive import Member
from layerkit.scheme import (
    Folders,
    Landing,
    clashes,
    folders,
    foreign_dist_infos,
    land,
    modules,
    reason_to_drop,
    without_wrappers,
)
from layerkit.target import Layout, target

SITE = "python/lib/python3.12/site-packages"
WHERE = Folders(site=SITE, scripts="bin", data="", headers="include/python3.12/demo")
DATA = "demo-1.0.data"


def member(name: str) -> Member:
    return Member(name=name, method=0, crc=0, packed=0, size=0, offset=0, executable=False)


def landing(path: str, name: str | None = None) -> Landing:
    return Landing(member=member(name or path), path=path)


@pytest.mark.parametrize(
    ("layout", "where"),
    [
        ("versioned", WHERE),
        ("flat", Folders(site="python", scripts="bin", data="", headers="include/python3.12/demo")),
    ],
)
def test_the_folders_are_those_lambda_looks_into(layout: Layout, where: Folders) -> None:
    assert folders(target("py312", "arm64"), layout, "demo") == where


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("demo/__init__.py", f"{SITE}/demo/__init__.py"),
        (f"{DATA}/purelib/demo/a.py", f"{SITE}/demo/a.py"),
        (f"{DATA}/platlib/demo/b.so", f"{SITE}/demo/b.so"),
        (f"{DATA}/scripts/run", "bin/run"),
        (f"{DATA}/data/lib/libx.so.1", "lib/libx.so.1"),
        (f"{DATA}/data/etc/x.conf", "etc/x.conf"),
        (f"{DATA}/headers/x.h", "include/python3.12/demo/x.h"),
        ("demo-1.0.database/x", f"{SITE}/demo-1.0.database/x"),
    ],
)
def test_each_member_lands_where_its_key_says(name: str, path: str) -> None:
    (found,), problems = land([member(name)], DATA, WHERE)
    assert found.path == path
    assert found.script == ("/scripts/" in name)
    assert problems == ()


@pytest.mark.parametrize("name", [f"{DATA}/stdlib/x.py", f"{DATA}/x", f"{DATA}/scripts", f"{DATA}/Purelib/x"])
def test_a_member_that_no_key_places_is_a_problem(name: str) -> None:
    found, (problem,) = land([member(name)], DATA, WHERE)
    assert found == ()
    assert (problem.case, problem.member) == ("data-unknown", name)


def test_without_a_data_folder_nothing_is_relocated() -> None:
    (found,), _ = land([member(f"{DATA}/scripts/run")], None, WHERE)
    assert found.path == f"{SITE}/{DATA}/scripts/run"


@pytest.mark.parametrize("name", ["run", "run.exe", "run-script.py", "run-script.pyw", "run.pya", "RUN.EXE"])
def test_wrappers_of_commands_are_told_from_scripts(name: str) -> None:
    script = Landing(member=member(name), path=f"bin/{name}", script=True)
    other = Landing(member=member("x"), path="bin/run.sh", script=True)
    module = landing(f"{SITE}/run")
    commands = ["run", "RUN"]
    assert without_wrappers([script, other, module], commands) == ((other, module), (script,))


@pytest.mark.parametrize(
    ("first", "second"),
    [("a/b", "a/b"), ("a/b", "A/B"), ("a/é", "a/e\u0301"), ("a", "a/b"), ("a/b/c/d", "a/b")],
)
def test_two_files_in_one_place_clash(first: str, second: str) -> None:
    (problem,) = clashes([landing(first, "one"), landing(second, "two")])
    assert problem.case == "data-collision"
    assert {problem.member, *problem.text.split()} >= {"one", "two"}


def test_a_file_clashes_with_what_layerkit_writes() -> None:
    (problem,) = clashes([landing("bin/Run", "one")], ["bin/run"])
    assert (problem.member, problem.text) == ("bin/run", "lands where one lands")


def test_neighbours_do_not_clash() -> None:
    assert list(clashes([landing("a/b"), landing("a/c"), landing("a.b"), landing("ab/c")])) == []


def test_only_the_own_dist_info_may_be_written_to() -> None:
    own = [landing(f"{SITE}/demo-1.0.dist-info/METADATA"), landing(f"{SITE}/demo/x.dist-info/y")]
    own += [landing("share/x.dist-info/y"), landing(f"{SITE}/x.dist-info")]
    foreign = landing(f"{SITE}/six-1.0.dist-info/METADATA", "data")
    (problem,) = foreign_dist_infos([*own, foreign], SITE, "demo-1.0.dist-info")
    assert (problem.case, problem.member) == ("two-dist-infos", "data")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("demo/__pycache__/a.cpython-312.pyc", "shipped-bytecode"),
        ("__pycache__/a.cpython-39.opt-1.pyc", "shipped-bytecode"),
        ("demo/__pycache__/a.nbi", None),
        ("demo/legacy.pyc", None),
        ("demo-1.0.dist-info/INSTALLER", "installer-records"),
        ("demo-1.0.dist-info/REQUESTED", "installer-records"),
        ("demo-1.0.dist-info/direct_url.json", "installer-records"),
        ("demo-1.0.dist-info/RECORD.jws", "installer-records"),
        ("demo-1.0.dist-info/RECORD.p7s", "installer-records"),
        ("demo-1.0.dist-info/METADATA", None),
        ("demo-1.0.dist-info/licenses/INSTALLER", None),
        ("demo/INSTALLER", None),
    ],
)
def test_what_a_layer_never_needs_has_a_reason(path: str, reason: str | None) -> None:
    assert reason_to_drop(f"{SITE}/{path}", SITE, "demo-1.0.dist-info") == reason


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("six.py", "six"),
        ("demo/__init__.py", "demo"),
        ("google/cloud/storage/client.py", "google"),
        ("_cffi_backend.cpython-312-x86_64-linux-gnu.so", "_cffi_backend"),
        ("fast.abi3.so", "fast"),
        ("plain.so", "plain"),
        ("bare.pyc", "bare"),
        ("only/ext.abi3.so", "only"),
        ("libgomp.so", None),
        ("libx/__init__.py", "libx"),
        ("demo.libs/libz.so", None),
        ("demo-stubs/__init__.py", None),
        ("demo-1.0.dist-info/METADATA", None),
        ("typed/py.typed", None),
        ("demo.pth", None),
        ("__init__.py", None),
    ],
)
def test_modules_are_the_names_that_can_be_imported(path: str, found: str | None) -> None:
    assert modules([f"{SITE}/{path}", "share/x.py", f"{SITE}.py"], SITE) == ((found,) if found else ())
