"""A wheel is believed only when all that it says of itself agrees."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from factory import Row, digest, make_wheel
from layerkit.archive import Archive, ArchiveError
from layerkit.errors import StorageError, WheelError
from layerkit.record import verify
from layerkit.wheel import Wheel, file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from factory import BuiltWheel

INFO = "demo-1.0.dist-info"


def read(built: BuiltWheel) -> Wheel:
    return Wheel.open(built.path, built.filename)


def cases(built: BuiltWheel) -> set[tuple[str, str | None]]:
    """The (case, member) pairs for which a wheel is refused; its file name must be the place."""
    with pytest.raises(ArchiveError) as caught:
        read(built)
    assert caught.value.where is not None
    assert caught.value.where.startswith(built.filename)
    return {(problem.case, problem.member) for problem in caught.value.problems}


def test_a_right_wheel_tells_all_about_itself(tmp_path: Path) -> None:
    built = make_wheel(
        tmp_path,
        "Demo.Thing",
        "1.0.0",
        files={"demo/__init__.py": "x = 1\n", "demo/_fast.abi3.so": b"\x7fELF"},
        data={"scripts/run": "#!python\n", "data/share/doc": "text"},
        requires=["six"],
        entry_points={"console_scripts": {"demo": "demo:main"}, "other": {"a/b": "demo"}},
        tag="cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64",
        build="2a",
    )
    wheel = Wheel.open(built.path, built.filename, built.sha256)
    assert (wheel.name, wheel.version, wheel.filename) == ("demo-thing", "1.0.0", built.filename)
    assert (wheel.path, wheel.sha256) == (built.path, built.sha256)
    assert wheel.tags == {"cp39-abi3-manylinux_2_17_x86_64", "cp39-abi3-manylinux2014_x86_64"}
    assert (wheel.dist_info, wheel.data) == ("Demo_Thing-1.0.0.dist-info", "Demo_Thing-1.0.0.data")
    assert wheel.metadata.name == "Demo.Thing"
    assert wheel.metadata.requires == ("six",)
    assert [(s.name, s.module, s.attr) for s in wheel.scripts] == [("demo", "demo", "main")]
    assert not wheel.root_is_purelib
    assert len(wheel.members) == len(wheel.recorded) == 8
    assert wheel.notes == ()


def test_a_wheel_without_extras_of_any_kind_is_read(tmp_path: Path) -> None:
    wheel = read(make_wheel(tmp_path, files={}))
    assert (wheel.data, wheel.scripts, wheel.root_is_purelib) == (None, (), True)


@pytest.mark.parametrize(
    "filename",
    [
        "demo-1.0-py3-none-any.zip",
        "demo-1.0.whl",
        "demo-1.0-py3-none.whl",
        "demo-one-py3-none-any.whl",
        "demo-1.0-x-py3-none-any.whl",
        "de mo-1.0-py3-none-any.whl",
        "démo-1.0-py3-none-any.whl",
        "de__mo-1.0-py3-none-any.whl",
        "_demo-1.0-py3-none-any.whl",
        "-1.0-py3-none-any.whl",
    ],
)
def test_a_file_name_that_no_wheel_has_is_refused(tmp_path: Path, filename: str) -> None:
    assert cases(make_wheel(tmp_path, filename=filename)) == {("file-name", None)}


@pytest.mark.parametrize(
    ("dist_info", "case"),
    [
        ("other-1.0.dist-info", "dist-info-name"),
        ("demo-1.1.dist-info", "dist-info-name"),
        ("demo.dist-info", "dist-info-name"),
        ("demo-x.dist-info", "dist-info-name"),
        ("demo-1.0.egg-info", "no-dist-info"),
    ],
)
def test_the_dist_info_folder_must_be_that_of_the_file_name(
    tmp_path: Path, dist_info: str, case: str
) -> None:
    assert case in {case for case, _ in cases(make_wheel(tmp_path, dist_info=dist_info))}


@pytest.mark.parametrize("dist_info", ["Demo-1.0.dist-info", "demo-1.0.0.dist-info", "DEMO-1.dist-info"])
def test_another_spelling_of_the_dist_info_folder_is_accepted(tmp_path: Path, dist_info: str) -> None:
    assert read(make_wheel(tmp_path, dist_info=dist_info)).dist_info == dist_info


def test_two_dist_infos_are_refused(tmp_path: Path) -> None:
    built = make_wheel(tmp_path, files={"demo-2.0.dist-info/METADATA": ""})
    assert cases(built) == {("two-dist-infos", None)}


def test_a_second_dist_info_cannot_come_through_data(tmp_path: Path) -> None:
    built = make_wheel(tmp_path, data={"purelib/evil-1.0.dist-info/METADATA": ""})
    member = "demo-1.0.data/purelib/evil-1.0.dist-info/METADATA"
    assert cases(built) == {("two-dist-infos", member)}


def test_a_vendored_dist_info_inside_a_package_is_no_concern(tmp_path: Path) -> None:
    read(make_wheel(tmp_path, files={"demo/_vendor/six-1.0.dist-info/METADATA": ""}))


@pytest.mark.parametrize("name", ["METADATA", "WHEEL", "RECORD"])
def test_the_three_files_must_be_there(tmp_path: Path, name: str) -> None:
    assert cases(make_wheel(tmp_path, without=[name])) == {(f"no-{name.lower()}", None)}


@pytest.mark.parametrize("name", ["METADATA", "WHEEL", "RECORD"])
def test_an_empty_file_is_as_bad_as_none(tmp_path: Path, name: str) -> None:
    arguments: dict[str, Any] = {name.lower(): b""}
    assert cases(make_wheel(tmp_path, **arguments))


@pytest.mark.parametrize(
    ("metadata", "case"),
    [
        ({"Name": "other"}, "metadata-name"),
        ({"Name": ""}, "metadata-name"),
        ({"Version": "1.1"}, "metadata-version"),
        ({"Version": "one"}, "metadata-version"),
        ("Name: demo\nName: other\nVersion: 1.0\n", "metadata-name"),
        ("Name: demo\nVersion: 1.0\nVersion: 2.0\n", "metadata-version"),
        ({"Requires-Dist": "six ~> 1"}, "metadata-requirement"),
        ({"Requires-Dist": "six; python_version >>> 3"}, "metadata-requirement"),
    ],
)
def test_metadata_must_be_that_of_the_file_name(
    tmp_path: Path, metadata: dict[str, str] | str, case: str
) -> None:
    assert cases(make_wheel(tmp_path, metadata=metadata)) == {(case, f"{INFO}/METADATA")}


@pytest.mark.parametrize("metadata", [{"Name": "DEMO"}, {"Version": "1.0.0"}, {"Version": "v1.0"}])
def test_metadata_may_spell_name_and_version_otherwise(tmp_path: Path, metadata: dict[str, str]) -> None:
    assert read(make_wheel(tmp_path, metadata=metadata)).version == "1.0"


@pytest.mark.parametrize("version", ["2.0", "0.9", "1", "1.x", "", "10.0"])
def test_only_wheel_version_one_is_known(tmp_path: Path, version: str) -> None:
    built = make_wheel(tmp_path, wheel={"Wheel-Version": version})
    assert cases(built) == {("wheel-version", f"{INFO}/WHEEL")}


@pytest.mark.parametrize("tags", ["", "py2-none-any", "py3-none-linux_x86_64", "nonsense"])
def test_tags_in_wheel_must_be_those_of_the_file_name(tmp_path: Path, tags: str) -> None:
    assert cases(make_wheel(tmp_path, wheel={"Tag": tags})) == {("wheel-tags", f"{INFO}/WHEEL")}


def test_fewer_tags_than_the_file_name_has_are_refused(tmp_path: Path) -> None:
    built = make_wheel(tmp_path, tag="py2.py3-none-any", wheel={"Tag": "py3-none-any"})
    assert cases(built) == {("wheel-tags", f"{INFO}/WHEEL")}


def test_a_compressed_tag_in_wheel_is_read_as_what_it_means(tmp_path: Path) -> None:
    built = make_wheel(tmp_path, tag="py2.py3-none-any", wheel={"Tag": "py2.py3-none-any"})
    assert read(built).tags == {"py2-none-any", "py3-none-any"}


def edited(change: Callable[[Row], Row | None]) -> Callable[[list[Row]], list[Row]]:
    """Return an edit of RECORD that changes the row of the package's only module."""

    def edit(rows: list[Row]) -> list[Row]:
        changed = [change(row) if row[0] == "demo/__init__.py" else row for row in rows]
        return [row for row in changed if row is not None]

    return edit


@pytest.mark.parametrize(
    ("change", "case"),
    [
        (lambda row: None, "record-missing"),  # noqa: ARG005 - the row goes
        (lambda row: (row[0], "", row[2]), "record-no-hash"),
        (lambda row: (row[0], digest(b"", "md5"), row[2]), "record-weak-hash"),
        (lambda row: (row[0], digest(b"", "sha1"), row[2]), "record-weak-hash"),
        (lambda row: (row[0], "sha7=abc", row[2]), "record-unknown-hash"),
        (lambda row: (row[0], "sha256", row[2]), "record-unknown-hash"),
        (lambda row: (row[0], row[1], "1"), "record-size"),
        (lambda row: (row[0], row[1], "-0"), "record-size"),
        (lambda row: (row[0], row[1], "many"), "record-size"),
    ],
)
def test_each_file_needs_one_good_row_in_record(
    tmp_path: Path, change: Callable[[Row], Row | None], case: str
) -> None:
    assert cases(make_wheel(tmp_path, record=edited(change))) == {(case, "demo/__init__.py")}


def test_a_file_with_two_rows_is_refused(tmp_path: Path) -> None:
    built = make_wheel(tmp_path, record=lambda rows: [*rows, rows[0]])
    assert cases(built) == {("record-twice", "demo/__init__.py")}


def test_a_row_without_a_file_is_refused(tmp_path: Path) -> None:
    built = make_wheel(tmp_path, record=lambda rows: [*rows, ("gone.py", digest(b""), "0")])
    assert cases(built) == {("record-extra", "gone.py")}


@pytest.mark.parametrize(
    ("record", "case"),
    [
        (lambda rows: [*rows, ("short", "row")], "record-row"),
        (b"\xff,,\n", "record-unreadable"),
        (b'"demo', "record-row"),
    ],
)
def test_a_record_that_is_no_record_is_refused(tmp_path: Path, record: Any, case: str) -> None:
    assert case in {case for case, _ in cases(make_wheel(tmp_path, record=record))}


def test_record_may_leave_out_sizes_and_itself_and_have_blank_lines(tmp_path: Path) -> None:
    def bare(rows: list[Row]) -> list[tuple[str, ...]]:
        return [(), *((path, hashed, "") for path, hashed, _ in rows if hashed)]

    assert len(read(make_wheel(tmp_path, record=bare)).recorded) == 3


@pytest.mark.parametrize("signature", ["RECORD.jws", "RECORD.p7s"])
def test_signatures_of_record_need_no_row(tmp_path: Path, signature: str) -> None:
    built = make_wheel(tmp_path, unrecorded={f"{INFO}/{signature}": "signed"})
    assert f"{INFO}/{signature}" in {member.name for member in read(built).members}


@pytest.mark.parametrize(
    ("data", "case"),
    [
        ({"platinclude/x.h": ""}, "data-unknown"),
        ({"purelib": ""}, "data-unknown"),
        ({"stray": ""}, "data-unknown"),
        ({"purelib/demo/__init__.py": ""}, "data-collision"),
        ({"platlib/DEMO/__init__.py": ""}, "data-collision"),
        ({"platlib/demo": ""}, "data-collision"),
        ({"purelib/demo/__init__.py/x": ""}, "data-collision"),
        ({"purelib/x.py": "", "platlib/x.py": ""}, "data-collision"),
        ({"platlib/demo-1.0.dist-info/RECORD": ""}, "data-collision"),
        ({"scripts/run/more": ""}, "data-collision"),
    ],
)
def test_data_must_have_a_place_of_its_own(tmp_path: Path, data: dict[str, str], case: str) -> None:
    built = make_wheel(tmp_path, data=data, entry_points={"console_scripts": {"run": "demo:main"}})
    assert {case for case, _ in cases(built)} == {case}


def test_an_old_wrapper_script_gives_way_to_the_command(tmp_path: Path) -> None:
    data = {"scripts/demo": "#!python\n", "scripts/demo-script.py": "#!python\n", "scripts/demo.exe": "MZ"}
    read(make_wheel(tmp_path, data=data, entry_points={"console_scripts": {"demo": "demo:main"}}))


@pytest.mark.parametrize("folder", ["other-1.0.data", "demo-2.0.data", "things.data"])
def test_a_data_folder_of_something_else_is_refused(tmp_path: Path, folder: str) -> None:
    assert cases(make_wheel(tmp_path, files={f"{folder}/purelib/x.py": ""})) == {("data-name", None)}


@pytest.mark.parametrize("name", ["../run", "/run", "a/b", "a\\b", "..", ".", "a\x01b", "a.", "a" * 256, ""])
@pytest.mark.parametrize("group", ["console_scripts", "gui_scripts"])
def test_a_command_with_a_path_in_its_name_is_refused(tmp_path: Path, group: str, name: str) -> None:
    built = make_wheel(tmp_path, entry_points={group: {name: "demo:main"}})
    assert cases(built) == {("entry-point-path", f"{INFO}/entry_points.txt")}


@pytest.mark.parametrize("value", ["demo", "demo:", "demo:a-b", "demo:main;x", ":main", "", "demo main:x"])
def test_a_command_must_name_a_callable(tmp_path: Path, value: str) -> None:
    built = make_wheel(tmp_path, entry_points={"console_scripts": {"run": value}})
    assert cases(built) == {("entry-point-object", f"{INFO}/entry_points.txt")}


def test_two_commands_of_one_name_are_refused_unless_they_are_one(tmp_path: Path) -> None:
    text = "[console_scripts]\nrun = demo:main\n[gui_scripts]\nrun = demo:{}\n"
    assert len(read(make_wheel(tmp_path / "one", entry_points=text.format("main"))).scripts) == 1
    built = make_wheel(tmp_path / "two", entry_points=text.format("other"))
    assert cases(built) == {("entry-point-twice", f"{INFO}/entry_points.txt")}


def test_entry_points_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    built = make_wheel(tmp_path, info_files={"entry_points.txt": b"[console_scripts]\n\xff = demo:main\n"})
    assert cases(built) == {("entry-points-encoding", f"{INFO}/entry_points.txt")}


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    built = make_wheel(
        tmp_path,
        metadata={"Name": "other", "Version": "2.0"},
        wheel={"Wheel-Version": "2.0", "Tag": "py2-none-any"},
        record=lambda rows: rows[1:],
        data={"nowhere/x": ""},
        entry_points={"console_scripts": {"../x": "demo:main"}},
    )
    assert {case for case, _ in cases(built)} == {
        "metadata-name",
        "metadata-version",
        "wheel-version",
        "wheel-tags",
        "record-missing",
        "data-unknown",
        "entry-point-path",
    }


def test_a_file_that_is_not_the_expected_one_is_refused(tmp_path: Path) -> None:
    built = make_wheel(tmp_path)
    with pytest.raises(WheelError, match=built.sha256) as caught:
        Wheel.open(built.path, built.filename, "0" * 64)
    assert caught.value.where == built.filename


def test_the_sha256_is_that_of_the_file(tmp_path: Path) -> None:
    built = make_wheel(tmp_path)
    assert read(built).sha256 == file_sha256(built.path) == built.sha256
    with pytest.raises(StorageError):
        file_sha256(tmp_path / "absent")


def test_what_is_no_wheel_is_refused_by_the_name_it_goes_by(tmp_path: Path) -> None:
    page = tmp_path / "abcdef"
    page.write_text("<!DOCTYPE html><title>503</title>")
    with pytest.raises(WheelError) as caught:
        Wheel.open(page, "demo-1.0-py3-none-any.whl")
    assert "demo-1.0-py3-none-any.whl" in str(caught.value)


def proven(path: Path) -> dict[str, bytes]:
    """Return the sha256 of every member of a wheel, checked against its RECORD."""
    with Archive.open(path) as archive:
        wheel = Wheel.read(archive)
        return {one.name: verify(archive, one, wheel.recorded.get(one.name))[0] for one in wheel.members}


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512", "blake2b"])
def test_verify_gives_the_sha256_of_a_member(tmp_path: Path, algorithm: str) -> None:
    big = bytes(range(256)) * 10_000
    built = make_wheel(tmp_path, files={"demo.py": "x = 1\n", "big.bin": big}, algorithm=algorithm)
    digests = proven(built.path)
    assert digests["big.bin"] == hashlib.sha256(big).digest()
    assert digests["demo.py"] == hashlib.sha256(b"x = 1\n").digest()
    assert len(digests) == 5


def test_verify_keeps_the_content_that_it_is_asked_to_keep(tmp_path: Path) -> None:
    built = make_wheel(tmp_path, files={"demo.py": "x = 1\n"})
    with Archive.open(built.path) as archive:
        (member,) = (one for one in archive.members if one.name == "demo.py")
        assert verify(archive, member, None, keep=6)[1] == b"x = 1\n"
        assert verify(archive, member, None, keep=5)[1] is None


def test_verify_names_a_member_that_is_not_as_recorded(tmp_path: Path) -> None:
    def forged(rows: list[Row]) -> list[Row]:
        return [(path, digest(b"else") if path == "a.py" else hashed, n) for path, hashed, n in rows]

    built = make_wheel(tmp_path, files={"a.py": "a"}, record=forged)
    with pytest.raises(ArchiveError) as caught:
        proven(built.path)
    assert [(p.case, p.member) for p in caught.value.problems] == [("record-hash", "a.py")]


def test_padding_and_capitals_in_record_are_forgiven(tmp_path: Path) -> None:
    def padded(rows: list[Row]) -> list[Row]:
        return [(path, hashed and hashed.replace("sha256=", "SHA256=") + "=", n) for path, hashed, n in rows]

    built = make_wheel(tmp_path, record=padded)
    assert proven(built.path)
