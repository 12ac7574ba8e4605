"""One target from a project to its zips: what makes a build anew, what it says, and who may write."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

import factory
from factory import make_wheel
from layerkit.build import _settings
from layerkit.cli import run
from layerkit.output import alone
from layerkit.project import FunctionSpec, LayerSpec, OverLimit, Project, Slimming, Stack
from own import own_project, tree_of_bytes
from projects import project, requirement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerkit.store import Store
    from loopback import Loopback

Capture = pytest.CaptureFixture[str]

HERE = Path("/project")
STATE = ".layerkit/python3.12-x86_64.state.json"

BASE = project(
    HERE,
    {"base": ["lib"], "more": ["other"]},
    functions=(FunctionSpec(name="api", layers=("base",), code=HERE / "api"),),
    never=frozenset({"tests"}),
    collisions={"a.py": "lib"},
    notes=("a note",),
)
_BASE_LAYER, _MORE_LAYER = BASE.layers

CHANGES: dict[str, list[Any]] = {
    "name": ["other"],
    "version": ["2.0"],
    "layers": [
        (_BASE_LAYER,),
        (_MORE_LAYER, _BASE_LAYER),
        (replace(_BASE_LAYER, name="renamed"), _MORE_LAYER),
        (replace(_BASE_LAYER, project="wheel-only"), _MORE_LAYER),
        (replace(_BASE_LAYER, requirements=(requirement("lib>=1"),)), _MORE_LAYER),
        (LayerSpec(name="base"), _MORE_LAYER),
    ],
    "functions": [
        (),
        (FunctionSpec(name="api", layers=("base", "more"), code=HERE / "api"),),
        (FunctionSpec(name="ipa", layers=("base",), code=HERE / "api"),),
        (FunctionSpec(name="api", layers=("base",)),),
    ],
    "stacks": [
        (),
        (Stack(name="default", layers=("base",)),),
        (Stack(name="default", layers=("more", "base")),),
        (Stack(name="other", layers=("base", "more")),),
    ],
    "layout": ["flat"],
    "strip": [False],
    "bytecode": ["none", "only"],
    "self_contained": [True],
    "never": [frozenset(), frozenset({"tests", "docs"})],
    "collisions": [{}, {"a.py": "other"}, {"b.py": "lib"}],
    "notes": [(), ("another note",)],
    "slim": [
        Slimming(enabled=False),
        Slimming(switched=(("headers", False),)),
        Slimming(rows=(("mine", ("*.txt",)),)),
        Slimming(keep=(("lib", ("*.h",)),)),
    ],
    "aws_services": [("s3",), ("s3", "sqs")],
    "over_limit": [
        OverLimit(mode="bundle"),
        OverLimit(mode="nested-zip"),
        OverLimit(mode="bundle", lazy=True),
        OverLimit(mode="bundle", remote="s3://bucket/prefix"),
    ],
}
# What need not be in the digest, and why.
ELSEWHERE = {
    "lock": {
        "containers",
        "constraints",
        "distribution",
        "index_arguments",
        "inputs",
        "overrides",
        "pins",
        "pins_source",
        "requires_python",
        "sdk",
        "sdk_version",
    },
    "one state for each target": {"architectures", "runtimes"},
    "what is built is the same": {"check", "engine", "import_may_fail", "publish", "require_hashes", "store"},
    "the state names the files": {"output", "lock_folder"},
    "says only where things are": {"root", "file", "tool", "secret"},
}


def _with(field: str, value: Any) -> Project:
    changes: dict[str, Any] = {field: value}
    return replace(BASE, **changes)


def test_every_field_of_a_project_is_in_the_digest_or_there_is_a_reason() -> None:
    assert set(Project.__struct_fields__) == set(CHANGES).union(*ELSEWHERE.values())


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in CHANGES.items() for value in values]
)
def test_every_setting_that_changes_what_is_written_changes_the_digest(field: str, value: object) -> None:
    assert _settings(BASE) == _settings(replace(BASE))
    assert _settings(_with(field, value)) != _settings(BASE)


def test_no_two_of_these_changes_have_one_digest() -> None:
    changed = [_settings(_with(field, value)) for field, values in CHANGES.items() for value in values]
    assert len(set(changed)) == len(changed)


_PYPROJECT = """
requires-python = ">=3.9"
dependencies = ["lib", "other"]

[tool.layerkit]
sdk-version = "1.42.0"

[tool.layerkit.layers]
base = ["lib"]
more = ["other"]
nodeps = {project = true}

[tool.layerkit.functions.api]
layers = ["base", "more", "nodeps"]
code = "api"

[tool.layerkit.functions.job]
layers = ["base"]
"""


@pytest.fixture
def shop(store: Store, index: Loopback, wheels: Path, tmp_path: Path) -> Path:
    """Lay down a project with three layers and two functions, one of them with code."""
    make_wheel(wheels, "boto3", "1.42.0", requires=["botocore==1.42.0"])
    make_wheel(wheels, "botocore", "1.42.0")
    make_wheel(wheels, "boto3", "1.43.0", requires=["botocore==1.43.0"])
    make_wheel(wheels, "botocore", "1.43.0")
    make_wheel(wheels, "lib", files={"lib.py": "V = 1\n", "shared.txt": "lib\n"})
    make_wheel(
        wheels, "other", requires=["lib", "helper"], files={"other.py": "", "big.bin": b"\7" * 400_000}
    )
    make_wheel(wheels, "helper", files={"helper.py": "", "said.txt": "the same\n"})
    assert index.names()
    assert store.root.parent == tmp_path
    folder = own_project(tmp_path / "shop", "shop", requires=["lib"], pyproject=_PYPROJECT)
    (folder / "api").mkdir()
    (folder / "api" / "app.py").write_text("import shop\n")
    (folder / "api" / "notes.md").write_text("for people\n")
    return folder


def _build(shop: Path, capsys: Capture, *options: str) -> dict[str, Any]:
    code = run(["build", str(shop), "--json", "--runtime", "py312", *options])
    said = capsys.readouterr()
    assert code == 0, said.err
    built: dict[str, Any] = json.loads(said.out)["targets"][0]
    return built


def _manifest(built: dict[str, Any]) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(Path(built["manifest"]).read_text())
    return manifest


def _edit(old: str, new: str) -> Callable[[Path], list[str]]:
    def edit(shop: Path) -> list[str]:
        path = shop / "pyproject.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        return []

    return edit


def _options(*options: str) -> Callable[[Path], list[str]]:
    return lambda _shop: list(options)


def _touch_code(shop: Path) -> list[str]:
    (shop / "api" / "app.py").write_text("import shop, lib\n")
    return []


def _touch_own(shop: Path) -> list[str]:
    (shop / "src" / "shop.py").write_text("VALUE = 2\n")
    return []


def test_a_build_after_another_is_what_a_first_build_would_be(
    shop: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Callable[[Path], list[str]]] = {
        "nothing yet": _options(),
        "the layout": _options("--layout", "flat"),
        "the name": _options("--name", "boutique"),
        "the version": _options("--project-version", "9"),
        "the SDK": _options("--sdk", "bundle"),
        "the SDK's version": _options("--sdk-version", "1.43.0"),
        "the folder": _options("--output", "elsewhere"),
        "the architecture": _options("--arch", "arm64"),
        "the function's code": _touch_code,
        "the project's code": _touch_own,
        "what belongs to the function": _edit('code = "api"', 'code = "api"\nexclude = ["*.md"]'),
        "the roots of a layer": _edit('more = ["other"]', 'more = ["other", "helper"]'),
        "the layers of a function": _edit('layers = ["base"]', 'layers = ["base", "more"]'),
        "what is left out": _edit(
            "[tool.layerkit.layers]", 'never-deploy = ["helper"]\n[tool.layerkit.layers]'
        ),
        "a note": _edit('">=3.9"', '">=3.13"'),
    }
    for number, (what, change) in enumerate(changes.items()):
        options = change(shop)
        monkeypatch.chdir(shop)
        assert not _build(shop, capsys, *options)["unchanged"], what
        assert _build(shop, capsys, *options)["unchanged"], what
        fresh = tmp_path / str(number) / "shop"
        shutil.copytree(shop, fresh, ignore=shutil.ignore_patterns("dist", "elsewhere", "*.state.json"))
        monkeypatch.chdir(fresh)
        _build(fresh, capsys, *options)
        expected, found = tree_of_bytes(fresh), tree_of_bytes(shop)
        written = [name for name in expected if name.startswith(("dist/", "elsewhere/"))]
        assert len(written) == 5, what
        assert [name for name in written if found[name] != expected[name]] == [], what


def test_a_note_of_the_project_is_said_as_long_as_it_is_true(shop: Path, capsys: Capture) -> None:
    assert run(["build", str(shop), "--json"]) == 0
    (newest,) = json.loads(capsys.readouterr().out)["targets"]
    (note,) = (note for note in _manifest(newest)["notes"] if "no runtimes are configured" in note)
    runtime = newest["target"].partition("-")[0]
    assert runtime in note
    assert run(["build", str(shop), "--json", "--runtime", runtime]) == 0
    (named,) = json.loads(capsys.readouterr().out)["targets"]
    assert note not in _manifest(named)["notes"]


def test_what_the_check_warns_of_stands_in_the_manifest_and_is_said(shop: Path, capsys: Capture) -> None:
    _edit("[tool.layerkit.layers]", 'never-deploy = ["helper"]\n[tool.layerkit.layers]')(shop)
    assert run(["build", str(shop), "--runtime", "py312"]) == 0
    said = capsys.readouterr().err
    manifest = json.loads((shop / "dist/layers/python3.12-x86_64/py312-shop-1.0.json").read_text())
    warnings = [note for note in manifest["notes"] if "which is left out" in note]
    # One of the two functions has the package that misses it, and is named.
    assert warnings == [
        "api: more: other 1.0: other 1.0 requires helper, which is left out: the project never deploys it"
    ]
    assert f"python3.12-x86_64: {warnings[0]}\n" in said


def test_a_check_that_fails_writes_nothing_and_leaves_the_last_build_standing(
    shop: Path, capsys: Capture
) -> None:
    (shop / "requires.txt").write_text("lib\nghost>=2\n")
    assert run(["build", str(shop), "--runtime", "py312"]) == 6
    assert "shop 1.0 requires ghost>=2, which neither base, more, nodeps nor the runtime has" in (
        capsys.readouterr().err
    )
    assert not (shop / "dist").exists()
    assert not (shop / STATE).exists()

    (shop / "requires.txt").write_text("lib\n")
    _build(shop, capsys)
    before = tree_of_bytes(shop / "dist"), (shop / STATE).read_bytes()
    (shop / "requires.txt").write_text("lib>=2\n")
    assert run(["build", str(shop), "--runtime", "py312"]) == 6
    assert "shop 1.0 requires lib>=2 (in nodeps), and base has lib 1.0" in capsys.readouterr().err
    assert (tree_of_bytes(shop / "dist"), (shop / STATE).read_bytes()) == before
    (shop / "requires.txt").write_text("lib\n")
    assert _build(shop, capsys)["unchanged"]


def test_a_wheel_that_is_refused_is_no_damage_of_the_store(
    shop: Path, index: Loopback, wheels: Path, capsys: Capture
) -> None:
    # Its hash is the one of the lock, and a file in it has not the hash of its own RECORD.
    wrong = factory.digest(b"something else")
    bad = make_wheel(
        wheels, "helper", record=lambda rows: [(name, digest and wrong, size) for name, digest, size in rows]
    )
    assert run(["build", str(shop), "--runtime", "py312"]) == 8
    said = capsys.readouterr().err
    assert bad.filename in said
    assert "preparing" in said
    assert "damaged in the store" not in said
    assert index.asked(bad.filename) == 1
    assert not (shop / "dist").exists()


def test_the_projects_own_wheel_stands_for_a_published_one_that_a_dependency_needs(
    shop: Path, wheels: Path, capsys: Capture
) -> None:
    make_wheel(wheels, "lib", requires=["shop"], files={"lib.py": ""})
    make_wheel(wheels, "shop", "0.9", files={"shop.py": "VALUE = 0\n"})
    manifest = _manifest(_build(shop, capsys))
    held = [(layer["name"], one) for layer in manifest["layers"] for one in layer["packages"]]
    # The function that has `base` alone needs it there, and nothing has it twice.
    assert [(name, one["version"]) for name, one in held if one["name"] == "shop"] == [("base", "1.0")]


def test_nobody_writes_while_another_build_does(
    shop: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []
    waits: list[Path] = []
    reached = threading.Event()

    def noticed(path: Path) -> Any:
        waits.append(path)
        reached.set()
        return alone(path)

    monkeypatch.setattr("layerkit.build.alone", noticed)
    _build(shop, capsys)
    shutil.rmtree(shop / "dist")
    reached.clear()
    with alone(waits[0]):
        thread = threading.Thread(
            target=lambda: codes.append(run(["build", str(shop), "--runtime", "py312", "--quiet"]))
        )
        thread.start()
        assert reached.wait(20)
        thread.join(0.1)
        assert thread.is_alive()
        assert not (shop / "dist").exists()
    thread.join(20)
    assert codes == [0]
    capsys.readouterr()
    assert _build(shop, capsys)["unchanged"]


def _at_once(shop: Path, count: int) -> Iterator[tuple[int, str]]:
    """Run so many builds of the project at the same time; yield exit codes and what was said."""
    command = [sys.executable, "-c", "from layerkit.cli import main; main()", "build", str(shop)]
    builds = [
        subprocess.Popen(
            [*command, "--runtime", "py312"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for _ in range(count)
    ]
    for build in builds:
        _, said = build.communicate(timeout=60)
        yield build.returncode, said


def test_builds_at_once_all_succeed_and_leave_whole_files_that_one_of_them_remembers(
    shop: Path, tmp_path: Path, capsys: Capture
) -> None:
    fresh = tmp_path / "fresh" / "shop"
    shutil.copytree(shop, fresh)
    # First with nothing there at all: no lock, no wheels, no folders.
    assert list(_codes(_at_once(shop, 2))) == [0, 0]
    _build(fresh, capsys)
    expected = tree_of_bytes(fresh / "dist")
    assert tree_of_bytes(shop / "dist") == expected
    for _ in range(3):
        shutil.rmtree(shop / "dist")
        assert list(_codes(_at_once(shop, 3))) == [0, 0, 0]
        assert tree_of_bytes(shop / "dist") == expected, "no draft is left and no zip is half another's"
        assert _build(shop, capsys)["unchanged"], "what is remembered are the files that are there"
    for path in (shop / "dist").rglob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None


def _codes(ended: Iterator[tuple[int, str]]) -> Iterator[int]:
    for code, said in ended:
        assert "Traceback" not in said
        assert code == 0, said
        yield code
