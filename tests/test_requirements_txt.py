from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

import pytest

from layerkit.errors import ConfigError
from layerkit.project.faults import Faults
from layerkit.project.requirements_txt import RequirementsFile, read

if TYPE_CHECKING:
    from pathlib import Path

HASH = "sha256:" + "0a" * 32


def reading(folder: Path, text: str | bytes, **environment: str) -> RequirementsFile:
    data = text if isinstance(text, bytes) else text.encode()
    (folder / "requirements.txt").write_bytes(data)
    faults = Faults()
    found = read(folder / "requirements.txt", folder, faults, environment)
    faults.check()
    return found


def fault(folder: Path, text: str | bytes, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        reading(folder, text, **environment)
    return str(caught.value)


def texts(found: RequirementsFile) -> list[str]:
    return [requirement.text for requirement in found.requirements]


def package(folder: Path, name: str = "lib") -> Path:
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{name}"\nversion = "1"\n')
    return folder


def test_comments_blanks_and_continuations(tmp_path: Path) -> None:
    found = reading(tmp_path, "# all\n\nnumpy>=1.2  # why\npandas \\\n  >=2, \\\n  <3\n\trequests\n")
    assert [" ".join(text.split()) for text in texts(found)] == ["numpy>=1.2", "pandas >=2, <3", "requests"]
    assert [item.origin for item in found.requirements] == [
        "requirements.txt:3",
        "requirements.txt:4",
        "requirements.txt:7",
    ]


def test_a_comment_ends_a_continued_line_as_in_pip(tmp_path: Path) -> None:
    assert texts(reading(tmp_path, "a>=1 \\\n# note \\\nb\n")) == ["a>=1", "b"]


def test_a_file_may_end_in_a_backslash(tmp_path: Path) -> None:
    assert texts(reading(tmp_path, "a>=1 \\")) == ["a>=1"]


def test_hashes_extras_and_markers(tmp_path: Path) -> None:
    [item] = reading(
        tmp_path,
        f"pandas[parquet]==2.0 ; python_version >= '3.9' \\\n    --hash={HASH} \\\n    --hash={HASH[:-1]}b\n",
    ).requirements
    assert item.text == "pandas[parquet]==2.0 ; python_version >= '3.9'"
    assert item.hashes == (HASH, HASH[:-1] + "b")
    assert item.extras == ("parquet",)


def test_only_sha256_counts_and_one_is_needed(tmp_path: Path) -> None:
    found = reading(tmp_path, f"a==1 --hash=sha512:{'0' * 128} --hash={HASH}\n")
    assert found.requirements[0].hashes == (HASH,)
    assert "none of the hashes is a sha256" in fault(tmp_path, f"a==1 --hash=sha512:{'0' * 128}\n")
    assert "requirements.txt:1" in fault(tmp_path, "a==1 --hash=sha256:abc\n")


def test_nested_files_start_from_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "reqs").mkdir()
    (tmp_path / "reqs" / "base.txt").write_text("-c limits.txt\na\n-r more/b.txt\n")
    (tmp_path / "reqs" / "limits.txt").write_text("b<2\n")
    (tmp_path / "reqs" / "more").mkdir()
    (tmp_path / "reqs" / "more" / "b.txt").write_text("b\n")
    found = reading(tmp_path, "-r reqs/base.txt\n--requirement=reqs/more/b.txt\n")
    assert texts(found) == ["a", "b"]
    assert [item.text for item in found.constraints] == ["b<2"]
    assert found.requirements[1].origin == "reqs/more/b.txt:1"
    assert [path.name for path in found.files] == ["requirements.txt", "base.txt", "limits.txt", "b.txt"]


def test_a_circle_of_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("x\n-r requirements.txt\n")
    assert "b.txt:2" in (text := fault(tmp_path, "-r b.txt\n"))
    assert "requirements.txt -> b.txt -> requirements.txt" in text


def test_missing_and_distant_files_are_refused_with_their_line(tmp_path: Path) -> None:
    text = fault(tmp_path, "a\n-r none.txt\n-c https://user:pw@host/x.txt\n")
    assert "requirements.txt:2: there is no file none.txt" in text
    assert "requirements.txt:3" in text
    assert "pw" not in text


def test_variables_come_from_the_environment(tmp_path: Path) -> None:
    text = "--extra-index-url https://${USER_}:${WORD}@host/simple\na${lower}\n"
    assert "a${lower}" in fault(tmp_path, text, USER_="me", WORD="t0k")
    found = reading(tmp_path, text.replace("${lower}", ""), USER_="me", WORD="t0k")
    assert found.index_arguments == ["--extra-index-url", "https://me:t0k@host/simple"]
    assert found.secret
    missing = fault(tmp_path, "a==${NONE}\n")
    assert "requirements.txt:1: the environment variable NONE is not set" in missing


def test_options_become_uvs_arguments(tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        "-i https://host/simple\n--find-links ./wheels\n-f https://host/x.html --no-index\n--pre\n"
        "--trusted-host host\n--only-binary :all:\n--prefer-binary\n--require-hashes\n--no-binary :none:\n",
    )
    assert found.index_arguments == [
        *("--index-url", "https://host/simple", "--find-links", str(tmp_path / "wheels")),
        *("--find-links", "https://host/x.html", "--no-index", "--prerelease", "allow"),
        *("--allow-insecure-host", "host"),
    ]
    assert found.notes == []
    assert (found.require_hashes, reading(tmp_path, "a\n").require_hashes) == (True, False)


def test_no_binary_is_answered(tmp_path: Path) -> None:
    [note] = reading(tmp_path, "--no-binary psycopg2\n").notes
    assert note.startswith("requirements.txt:1: --no-binary psycopg2 is not followed")


def test_an_unknown_option_is_refused_with_what_it_may_have_meant(tmp_path: Path) -> None:
    assert "did you mean '--find-links'?" in fault(tmp_path, "--find-link x\n")
    assert "--index-url has no value" in fault(tmp_path, "--index-url\n")


@pytest.mark.parametrize(
    "line",
    [
        "-e ./lib",
        "--editable=lib/",
        "./lib",
        "lib/",
        "lib @ ./lib",
        "-e file:lib",
        "./lib[x]",
        "lib[x] @ {uri}",
        "{uri}",
    ],
)
def test_local_folders(line: str, tmp_path: Path) -> None:
    folder = package(tmp_path / "lib")
    [item] = reading(tmp_path, line.format(uri=folder.as_uri()) + "\n").requirements
    assert item.path == folder
    assert item.name == "lib"
    assert item.extras == (("x",) if "[x]" in line else ())


@pytest.mark.parametrize(
    "line", ["./w/my_lib-1-py3-none-any.whl", "w/my_lib-1-py3-none-any.whl ; os_name == 'posix'"]
)
def test_local_wheels(line: str, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "my_lib-1-py3-none-any.whl").touch()
    [item] = reading(tmp_path, line + f" --hash={HASH}\n").requirements
    assert item.path == tmp_path / "w" / "my_lib-1-py3-none-any.whl"
    assert (item.name, item.hashes) == ("my-lib", (HASH,))
    assert item.marker == ("os_name == 'posix'" if ";" in line else None)


def test_a_path_starts_from_the_root_as_in_pip_and_else_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "setup.cfg").write_text("[metadata]\nname = top\n")
    (tmp_path / "reqs").mkdir()
    near = package(tmp_path / "reqs" / "near")
    (tmp_path / "reqs" / "dev.txt").write_text("-e .\n./near\n")
    top, lib = reading(tmp_path, "-r reqs/dev.txt\n").requirements
    assert (top.path, top.name) == (tmp_path, "top")
    assert lib.path == near


@pytest.mark.parametrize(
    ("setup", "name"),
    [
        ("from setuptools import setup\nsetup(name='old-lib')\n", "old-lib"),
        ("import x\nx.setup(name='l')\n", "l"),
    ],
)
def test_the_name_of_a_folder_with_a_plain_setup_py(setup: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "setup.py").write_text(setup)
    [item] = reading(tmp_path, "./lib\n").requirements
    assert item.name == name


def test_a_folder_whose_name_only_its_code_knows_asks_for_the_name(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "setup.py").write_text("setup(name=name())\n")
    assert "write the name in front: NAME @ file://" in fault(tmp_path, "./lib\n")


def test_folders_that_hold_no_package_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "there is no pyproject.toml, setup.py or setup.cfg" in fault(tmp_path, "./empty\n")
    assert "there is no wheel or folder" in fault(tmp_path, "-e ../none\n")


@pytest.mark.parametrize(
    "line",
    ["git+https://host/x.git#egg=x", "-e git+ssh://git@host/x.git@v1#egg=x", "x @ git+https://t0k@host/x"],
)
def test_version_control_is_refused_with_a_way_out(line: str, tmp_path: Path) -> None:
    text = fault(tmp_path, f"a\n{line}\n")
    assert text.startswith("requirements.txt:2: ")
    assert "pip wheel" in text
    assert "t0k" not in text


def test_addresses_of_wheels(tmp_path: Path) -> None:
    [item] = reading(
        tmp_path, "https://host/p/my_lib-1.0-py3-none-any.whl ; os_name == 'posix'\n"
    ).requirements
    assert item.name == "my-lib"
    assert item.text == "my_lib @ https://host/p/my_lib-1.0-py3-none-any.whl ; os_name == 'posix'"
    assert "is not a wheel" in fault(tmp_path, "https://host/lib-1.0.tar.gz\n")


@pytest.mark.parametrize(
    "data",
    [
        codecs.BOM_UTF8 + b"caf\xc3\xa9 # \xc3\xa9",
        codecs.BOM_UTF16_LE + "café # é".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "café # é".encode("utf-16-be"),
        codecs.BOM_UTF32_LE + "café # é".encode("utf-32-le"),
        b"# -*- coding: latin-1 -*-\ncaf\xe9 # \xe9",
    ],
)
def test_encodings(data: bytes, tmp_path: Path) -> None:
    # The name is no name; that it comes back whole shows that it was decoded.
    assert "'café' is not a requirement" in fault(tmp_path, data)


def test_bytes_that_are_no_utf_8_are_refused_with_their_line(tmp_path: Path) -> None:
    assert "requirements.txt:2: the file is not utf-8" in fault(tmp_path, b"a\nb\xff\n")
    assert "there is no encoding called 'klingon'" in fault(tmp_path, b"# coding: klingon\na\n")


def test_windows_lines(tmp_path: Path) -> None:
    assert texts(reading(tmp_path, b"a \\\r\n >=1\r\nb\r\n")) == ["a  >=1", "b"]


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = fault(tmp_path, "a=1\nb\n--nope\nc^2\n")
    assert text.startswith("3 faults")
    for line in (1, 3, 4):
        assert f"requirements.txt:{line}: " in text
