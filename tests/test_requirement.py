from __future__ import annotations

from pathlib import Path

import pytest

from layerkit.errors import ConfigError
from layerkit.project.requirement import (
    Requirement,
    and_markers,
    canonical,
    narrowed,
    parse,
    well_formed,
    with_extras,
)


def read(text: str, base: Path = Path("/base")) -> Requirement:
    return parse(text, "here:1", base)


@pytest.mark.parametrize(
    ("text", "name", "extras", "marker"),
    [
        ("numpy", "numpy", (), None),
        ("Typing_Extensions>=4", "typing-extensions", (), None),
        ("zope.interface (>=5,<6)", "zope-interface", (), None),
        ("pandas[Parquet, s_3]>=2", "pandas", ("parquet", "s-3"), None),
        ("a ~= 1.4 ; python_version < '3.9'", "a", (), "python_version < '3.9'"),
        ("a;sys_platform=='linux'", "a", (), "sys_platform=='linux'"),
        ("a===1.0+cpu", "a", (), None),
        ("a!=1.5.*,>=1", "a", (), None),
    ],
)
def test_a_requirement_is_read(text: str, name: str, extras: tuple[str, ...], marker: str | None) -> None:
    found = read(text)
    assert (found.name, found.extras, found.marker) == (name, extras, marker)
    assert found.text == text
    assert found.origin == "here:1"
    assert well_formed(found) is None


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("numpy=1.0", "one version is written ==1.2.3"),
        ("numpy ^1.2", "a caret range is Poetry's own"),
        ("numpy 1.2", None),
        ("numpy>=1 foo", None),
        ("-x", None),
        ("", None),
        ("a ;", None),
    ],
)
def test_what_is_no_requirement_is_refused_with_its_place(text: str, hint: str | None) -> None:
    with pytest.raises(ConfigError, match="is not a requirement") as caught:
        read(text)
    assert caught.value.where == "here:1"
    assert (hint or "") in str(caught.value)


@pytest.mark.parametrize("text", ["a>=1..2", "a ; python_vresion > '3'", "a>=1 ; ("])
def test_what_only_packaging_can_see_is_found_by_well_formed(text: str) -> None:
    error = well_formed(read(text))
    assert isinstance(error, ConfigError)
    assert error.where == "here:1"


def test_a_wheel_on_the_web_keeps_its_hash_apart() -> None:
    digest = "ab" * 32
    found = read(f"a[x] @ https://host/a-1-py3-none-any.whl#sha256={digest} ; os_name == 'posix'")
    assert found.text == "a[x] @ https://host/a-1-py3-none-any.whl ; os_name == 'posix'"
    assert found.hashes == (f"sha256:{digest}",)
    assert (found.extras, found.marker, found.path) == (("x",), "os_name == 'posix'", None)


@pytest.mark.parametrize("address", ["git+https://u:secret@host/x", "git+ssh://git@host/x", "hg+http://h/x"])
def test_version_control_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(ConfigError, match="version control") as caught:
        read(f"a @ {address}")
    assert "pip wheel" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_source_archive_is_refused() -> None:
    with pytest.raises(ConfigError, match="is not a wheel"):
        read("a @ https://host/a-1.tar.gz")


@pytest.mark.parametrize("written", ["{uri}/lib", "./lib", "lib", "{{root:uri}}/lib", "file:lib"])
def test_a_folder_is_named_by_path_or_address(written: str, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    found = read("Lib @ " + written.format(uri=tmp_path.as_uri()), tmp_path)
    assert found.path == tmp_path / "lib"
    assert found.name == "lib"
    assert found.text == f"Lib @ {(tmp_path / 'lib').as_uri()}"


def test_spaces_in_paths_survive(tmp_path: Path) -> None:
    (tmp_path / "my lib").mkdir()
    found = read(f"lib @ {(tmp_path / 'my lib').as_uri()} ; os_name == 'posix'", tmp_path)
    assert found.path == tmp_path / "my lib"
    assert "my%20lib ; os_name" in found.text


def test_a_missing_file_and_a_file_that_is_no_wheel_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file or folder"):
        read("a @ ./none", tmp_path)
    (tmp_path / "a-1.tar.gz").touch()
    with pytest.raises(ConfigError, match="is not a wheel"):
        read("a @ ./a-1.tar.gz", tmp_path)


def test_markers_are_joined_with_care_for_or() -> None:
    assert and_markers(None, None) is None
    assert and_markers("a == '1'", None, "a == '1'") == "a == '1'"
    assert and_markers("a == '1' or b == '2'", "c == '3'") == "(a == '1' or b == '2') and c == '3'"


def test_a_requirement_is_narrowed_by_a_marker() -> None:
    found = narrowed(read("a>=1 ; os_name == 'nt' or os_name == 'posix'"), "python_version > '3.8'")
    assert found.marker == "(os_name == 'nt' or os_name == 'posix') and python_version > '3.8'"
    assert found.text == f"a>=1 ; {found.marker}"
    assert narrowed(read("a"), "python_version > '3.8'").text == "a ; python_version > '3.8'"
    assert narrowed(found, None) is found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a>=1", "a[x,y]>=1"),
        ("a[y]>=1", "a[y,x]>=1"),
        ("a (>=1)", "a[x,y] (>=1)"),
        ("a ; os_name == 'nt'", "a[x,y] ; os_name == 'nt'"),
        ("a @ https://h/a-1-py3-none-any.whl", "a[x,y] @ https://h/a-1-py3-none-any.whl"),
    ],
)
def test_extras_are_added(text: str, expected: str) -> None:
    found = with_extras(read(text), ("x", "y"))
    assert found.text == expected
    assert set(found.extras) == {"x", "y"}
    assert well_formed(found) is None


def test_names_are_canonical() -> None:
    assert canonical("A__b.-C") == "a-b-c"
