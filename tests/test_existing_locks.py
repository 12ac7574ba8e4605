from __future__ import annotations

import json
from pathlib import Path

import pytest
from packaging.markers import Marker

from layerkit.errors import ConfigError
from layerkit.project.existing_locks import find, read
from layerkit.project.pins import environment_only
from layerkit.project.requirement import Pin, Requirement, parse
from layerkit.target import target

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def lock(folder: Path, name: str, text: str) -> dict[str, list[Pin]]:
    (folder / name).write_text(text)
    found: dict[str, list[Pin]] = {}
    for pin in read(folder / name, folder):
        found.setdefault(pin.name, []).append(pin)
    return found


def chosen(pins: list[Pin], runtime: str) -> str | None:
    """Return the version that the first marker which holds on the runtime stands for."""
    environment = {**target(runtime).markers(), "extra": ""}
    fitting = (pin.version for pin in pins if not pin.marker or Marker(pin.marker).evaluate(environment))
    return next(fitting, None)


POETRY_2_1 = f"""
[[package]]
name = "NumPy"
version = "1.26.4"
optional = false
python-versions = ">=3.9"
groups = ["main"]
markers = "python_version < \\"3.11\\""
files = [{{file = "numpy-1.whl", hash = "{A}"}}]

[[package]]
name = "numpy"
version = "2.1.0"
optional = false
python-versions = ">=3.10"
groups = ["main", "dev"]
markers = {{main = "python_version >= \\"3.11\\"", dev = "python_version >= \\"3.12\\" and extra == \\"x\\""}}
files = [{{file = "numpy-2.whl", hash = "{B}"}}, {{file = "numpy-2.tar.gz", hash = "{A}"}}]

[[package]]
name = "own"
version = "1"
files = []
[package.source]
type = "directory"
url = "../own"

[[package]]
name = "private"
version = "1"
groups = ["main", "dev"]
markers = {{dev = "python_version >= \\"3.12\\""}}
files = []
[package.source]
type = "legacy"
url = "https://own/simple"

[metadata]
lock-version = "2.1"
"""


def test_poetry_2_1(tmp_path: Path) -> None:
    pins = lock(tmp_path, "poetry.lock", POETRY_2_1)
    assert [(pin.version, pin.hashes) for pin in pins["numpy"]] == [
        ("2.1.0", frozenset({A, B})),
        ("1.26.4", frozenset({A})),
    ]
    assert chosen(pins["numpy"], "python3.10") == "1.26.4"
    assert chosen(pins["numpy"], "python3.12") == "2.1.0"
    assert "own" not in pins
    assert pins["private"][0].marker is None


def test_poetry_1_1_and_1_0_keep_hashes_elsewhere(tmp_path: Path) -> None:
    package = '[[package]]\nname = "a"\nversion = "1"\npython-versions = "*"\n'
    pins = lock(tmp_path, "poetry.lock", f'{package}[metadata.files]\na = [{{file = "a", hash = "{A}"}}]\n')
    assert pins["a"] == [Pin(name="a", version="1", hashes=frozenset({A}))]
    pins = lock(tmp_path, "poetry.lock", f'{package}[metadata.hashes]\na = ["{A[7:]}"]\n')
    assert pins["a"] == [Pin(name="a", version="1", hashes=frozenset({A}))]


OLD = """
[[package]]
name = "{name}"
version = "{version}"
python-versions = "{python}"
[package.dependencies]
{needs}
"""


def old(name: str, version: str, python: str = "*", needs: str = "") -> str:
    return OLD.format(name=name, version=version, python=python, needs=needs)


def test_an_older_poetry_lock_tells_versions_by_their_own_pythons(tmp_path: Path) -> None:
    pins = lock(
        tmp_path,
        "poetry.lock",
        old("numpy", "1.21.6", ">=3.7,<3.11")
        + old("numpy", "1.26.4", ">=3.9")
        + old("numpy", "2.0", "^3.12"),
    )["numpy"]
    assert [chosen(pins, name) for name in ("python3.7", "python3.9", "python3.12")] == [
        "1.21.6",
        "1.26.4",
        "2.0",
    ]


def test_an_older_poetry_lock_tells_versions_by_who_asks_for_them(tmp_path: Path) -> None:
    needs = (
        'numpy = [{version = ">=1.20,<1.22", markers = "python_version < \\"3.10\\""}, '
        '{version = "^1.26", python = ">=3.10"}]'
    )
    pins = lock(
        tmp_path,
        "poetry.lock",
        old("numpy", "1.21.6", ">=3.7") + old("numpy", "1.26.4", ">=3.9") + old("pandas", "2", needs=needs),
    )["numpy"]
    assert chosen(pins, "python3.9") == "1.21.6"
    assert chosen(pins, "python3.10") == "1.26.4"


def test_the_projects_own_ranges_count_as_well(tmp_path: Path) -> None:
    text = old("numpy", "1.21.6", ">=3.7") + old("numpy", "1.26.4", ">=3.7")
    (tmp_path / "poetry.lock").write_text(text)
    asked: list[Requirement] = [
        parse("numpy (>=1.21,<1.22) ; python_version < '3.10'", "x", tmp_path),
        parse("numpy[x]>=1.26 ; python_version >= '3.10'", "x", tmp_path),
    ]
    pins = list(read(tmp_path / "poetry.lock", tmp_path, asked))
    assert chosen(pins, "python3.9") == "1.21.6"
    assert chosen(pins, "python3.12") == "1.26.4"


def test_uv(tmp_path: Path) -> None:
    pins = lock(
        tmp_path,
        "uv.lock",
        f"""
        version = 1
        resolution-markers = ["python_full_version >= '3.11'", "python_full_version < '3.11'"]
        [[package]]
        name = "app"
        version = "1"
        source = {{ editable = "." }}
        [[package]]
        name = "core"
        source = {{ virtual = "libs/core" }}
        [[package]]
        name = "numpy"
        version = "1.26.4"
        source = {{ registry = "https://host/simple" }}
        resolution-markers = ["python_full_version == '3.10.*'", "python_full_version < '3.10'"]
        sdist = {{ url = "https://host/n.tar.gz", hash = "{A}" }}
        [[package]]
        name = "numpy"
        version = "2.1.0"
        source = {{ registry = "https://host/simple" }}
        resolution-markers = ["python_full_version >= '3.11'"]
        wheels = [{{ url = "https://host/n.whl", hash = "{B}", size = 3 }}]
        [[package]]
        name = "repo"
        version = "1"
        source = {{ git = "https://host/x#abc" }}
        """,
    )
    assert set(pins) == {"numpy"}
    assert [chosen(pins["numpy"], name) for name in ("python3.9", "python3.10", "python3.13")] == [
        *("1.26.4", "1.26.4", "2.1.0"),
    ]
    assert pins["numpy"][0].hashes == {B}


def test_pylock(tmp_path: Path) -> None:
    digest = A[7:]
    pins = lock(
        tmp_path,
        "pylock.toml",
        f"""
        lock-version = "1.0"
        created-by = "x"
        [[packages]]
        name = "numpy"
        version = "2.1.0"
        marker = "python_version >= '3.11' and 'dev' in dependency_groups"
        wheels = [{{name = "n.whl", url = "https://h/n.whl", hashes = {{sha256 = "{digest}"}}}}]
        attestation-identities = [{{kind = "GitHub", repository = "numpy/numpy"}}]
        [[packages]]
        name = "folder"
        directory = {{path = "lib"}}
        """,
    )
    [pin] = pins["numpy"]
    assert pin.hashes == {A}
    assert json.loads(pin.attestations) == [{"kind": "GitHub", "repository": "numpy/numpy"}]
    assert chosen([pin], "python3.12") == "2.1.0"
    assert chosen([pin], "python3.10") is None
    assert "folder" not in pins


def test_pipenv(tmp_path: Path) -> None:
    document = {
        "_meta": {"pipfile-spec": 6},
        "default": {
            "numpy": {"version": "==2.0", "hashes": [A], "markers": "python_version >= '3.9'"},
            "lib": {"path": "./lib"},
        },
        "develop": {"numpy": {"version": "==1.0"}, "pytest": {"version": "==8.0"}},
    }
    pins = lock(tmp_path, "Pipfile.lock", json.dumps(document))
    expected = Pin(name="numpy", version="2.0", marker="python_version >= '3.9'", hashes=frozenset({A}))
    assert pins == {"numpy": [expected], "pytest": [Pin(name="pytest", version="8.0")]}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("uv.lock", "version = 2", "uv.lock version 2 is not known"),
        ("uv.lock", "version = ", "the file is not TOML"),
        ("pylock.toml", 'lock-version = "2.0"', "lock-version '2.0' is not known"),
        ("Pipfile.lock", "{}", "no packages under `default`"),
        ("Pipfile.lock", "[]", "no packages under `default`"),
        ("Pipfile.lock", "{", "the file is not JSON"),
        ("poetry.lock", "[[package]]\nversion = '1'", "not as its tool writes it"),
        ("poetry.lock", "package = [1]", "not as its tool writes it"),
        ("poetry.lock", old("a", "1") + old("a", "one"), "'one'"),
    ],
)
def test_damaged_locks(name: str, text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        lock(tmp_path, name, text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("marker", "expected"),
    [
        (None, None),
        ("os_name == 'nt'", "os_name == 'nt'"),
        ("'a' in extras", None),
        ("extra == 'a' and os_name == 'nt'", "python_version >= \"0\" and os_name == 'nt'"),
    ],
)
def test_extras_and_groups_leave_a_marker(marker: str | None, expected: str | None) -> None:
    assert environment_only(marker) == expected


def test_a_choice_decides_what_a_marker_says_of_groups() -> None:
    environment = target("python3.12").markers()
    for marker, holds in [
        ("'a' in dependency_groups", True),
        ("'b' in dependency_groups", False),
        ("'b' not in extras", True),
        ("'a' in extras and 'b' in extras", False),
        ("'a' in extras or 'b' in extras", True),
    ]:
        rest = environment_only(marker, {"a"})
        assert (rest is None or Marker(rest).evaluate(environment)) is holds, marker


@pytest.mark.parametrize(
    ("tool", "files", "expected"),
    [
        ("poetry", "uv.lock poetry.lock", "poetry.lock"),
        ("uv", "uv.lock poetry.lock", "uv.lock"),
        ("any", "Pipfile.lock pylock.toml", "pylock.toml"),
        ("any", "pylock.prod.toml Pipfile.lock", "pylock.prod.toml"),
        ("pipenv", "uv.lock Pipfile.lock", "Pipfile.lock"),
        ("pip", "Pipfile.lock poetry.lock uv.lock", None),
        ("pip", "pylock.toml Pipfile.lock", "pylock.toml"),
        ("any", "pylock.a.toml pylock.b.toml", None),
        ("any", "pylock.a.b.toml", None),
    ],
)
def test_which_lock_counts(tool: str, files: str, expected: str | None, tmp_path: Path) -> None:
    for name in files.split():
        (tmp_path / name).touch()
    found, notes = find(tmp_path, tool=tool)
    assert [path.name for path in found] == ([expected] if expected else [])
    if expected and tool != "pip":
        others = set(files.split()) - {expected}
        assert not others or (expected in notes[0] and "is not read" in notes[0])


def test_locks_under_the_lock_folder_are_layerkits_own(tmp_path: Path) -> None:
    (tmp_path / ".layerkit").mkdir()
    (tmp_path / ".layerkit" / "pylock.py312-x86_64.toml").touch()
    assert find(tmp_path, tool="any") == ((), ())


def test_a_member_of_a_workspace_has_the_lock_at_its_root(tmp_path: Path) -> None:
    member = tmp_path / "libs" / "a"
    member.mkdir(parents=True)
    (member / "pyproject.toml").write_text('[project]\nname = "a"\n')
    (tmp_path / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["libs/*"]\n')
    (tmp_path / "uv.lock").touch()
    assert find(member, tool="any") == ((tmp_path / "uv.lock",), ())
    (tmp_path / "pyproject.toml").write_text(
        '[tool.uv.workspace]\nmembers = ["libs/*"]\nexclude = ["libs/a"]\n'
    )
    assert find(member, tool="any") == ((), ())


def test_the_lock_of_this_repository_is_read() -> None:
    root = Path(__file__).parent.parent
    pins = {pin.name: pin for pin in read(root / "poetry.lock", root)}
    assert pins["uv"].version.startswith("0.13.")
    assert all(pin.hashes for pin in pins.values())
    assert pins["colorama"].marker == """(os_name == "nt") or (sys_platform == "win32")"""
    assert pins["tomli"].marker is None
