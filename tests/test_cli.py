"""The commands as a user types them, in this process, against an index on the loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from factory import make_wheel
from layerkit import __version__
from layerkit.cli import run
from layerkit.schemas import schema
from zips import zipped

if TYPE_CHECKING:
    from pathlib import Path

    from loopback import Loopback

Capture = pytest.CaptureFixture[str]

_PYPROJECT = """
[project]
name = "shop"
version = "2.0"
requires-python = ">=3.9"
dependencies = ["web-lib>=1"]

[tool.layerkit]
runtimes = ["python3.12"]
sdk-version = "1.42.0"

[tool.layerkit.layers]
base = ["web-lib"]
extra = ["data-lib[fast]"]

[tool.layerkit.functions.api]
layers = ["base"]
code = "api"

[tool.layerkit.functions.batch]
layers = ["base", "extra"]
"""


@pytest.fixture
def shop(index: Loopback, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay down a project with two functions on two layers; the index has what it needs."""
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "store"))
    make_wheel(wheels, "boto3", "1.42.0", requires=["botocore==1.42.0"])
    make_wheel(wheels, "botocore", "1.42.0", requires=["urllib3<3"])
    make_wheel(wheels, "urllib3", "2.0", files={"urllib3/__init__.py": ""})
    make_wheel(
        wheels,
        "web-lib",
        "1.5",
        requires=["urllib3"],
        entry_points={"console_scripts": {"web": "web_lib:go"}},
    )
    make_wheel(wheels, "data-lib", requires=["web-lib", "boto3", "quick; extra == 'fast'"], extras=["fast"])
    make_wheel(wheels, "quick", tag="cp312-cp312-manylinux_2_34_x86_64")
    project = tmp_path / "a shop"
    (project / "api").mkdir(parents=True)
    (project / "api" / "app.py").write_text("def handler(event, context): ...\n")
    (project / "pyproject.toml").write_text(_PYPROJECT)
    assert index.names()
    return project


def _json(capsys: Capture) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    name = document["schema"].split("/")[1]
    Draft202012Validator(schema(name)).validate(document)
    return document


def _names(path: str) -> set[str]:
    with zipfile.ZipFile(path) as archive:
        return {name.removeprefix("python/lib/python3.12/site-packages/") for name in archive.namelist()}


def test_a_build_puts_each_package_into_one_layer_and_the_code_beside(shop: Path, capsys: Capture) -> None:
    assert run(["build", str(shop), "--json"]) == 0
    (target,) = _json(capsys)["targets"]
    folder = shop / "dist" / "layers" / "python3.12-x86_64"
    names = ["base.zip", "extra.zip", "api-code.zip"]
    assert target["zips"] == [str(folder / f"py312-shop-2.0-{name}") for name in names]
    assert target["manifest"] == str(folder / "py312-shop-2.0.json")
    assert {"bin/web", "urllib3/__init__.py", "web_lib-1.5.dist-info/METADATA"} <= _names(target["zips"][0])
    assert {name.split("-")[0] for name in _names(target["zips"][1]) if "dist-info" in name} == {
        "data_lib",
        "quick",
    }
    assert _names(target["zips"][2]) == {"app.py"}


def test_stdout_is_data_and_stderr_is_talk(shop: Path, capsys: Capture) -> None:
    assert run(["build", str(shop)]) == 0
    said = capsys.readouterr()
    assert [line.rpartition("-")[2] for line in said.out.splitlines()] == [
        "base.zip",
        "extra.zip",
        "code.zip",
    ]
    assert "layer base" in said.err
    assert run(["build", str(shop), "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_a_second_build_has_nothing_to_do_until_something_changes(shop: Path, capsys: Capture) -> None:
    def unchanged() -> bool:
        assert run(["build", str(shop), "--json"]) == 0
        return bool(_json(capsys)["targets"][0]["unchanged"])

    assert [unchanged(), unchanged()] == [False, True]
    (shop / "api" / "app.py").write_text("def handler(event, context): return 1\n")
    assert [unchanged(), unchanged()] == [False, True]
    zips = sorted((shop / "dist").rglob("*.zip"))
    zips[0].write_bytes(b"damaged")
    assert [unchanged(), unchanged()] == [False, True]
    zips[1].unlink()
    assert [unchanged(), unchanged()] == [False, True]
    text = (shop / "pyproject.toml").read_text()
    (shop / "pyproject.toml").write_text(text.replace('version = "2.0"', 'version = "2.1"'))
    assert [unchanged(), unchanged()] == [False, True]


def test_a_build_needs_no_index_once_the_wheels_are_here(
    shop: Path, index: Loopback, capsys: Capture
) -> None:
    assert run(["build", str(shop)]) == 0
    first = {path.name: path.read_bytes() for path in (shop / "dist").rglob("*.zip")}
    for path in (shop / "dist").rglob("*.zip"):
        path.unlink()
    asked = len(index.requests)
    assert run(["build", str(shop), "--offline", "--locked"]) == 0
    assert {path.name: path.read_bytes() for path in (shop / "dist").rglob("*.zip")} == first
    assert len(index.requests) == asked
    capsys.readouterr()


def test_a_wheel_that_rotted_in_the_store_is_fetched_once_more(
    shop: Path, index: Loopback, tmp_path: Path, capsys: Capture
) -> None:
    assert run(["lock", str(shop)]) == 0
    (wheel,) = (
        path for path in (tmp_path / "store" / "wheels").rglob("*.whl") if b"quick-1.0" in path.read_bytes()
    )
    wheel.chmod(0o644)
    content = bytearray(wheel.read_bytes())
    content[40] ^= 0xFF
    wheel.write_bytes(content)
    assert run(["build", str(shop)]) == 0
    assert (
        "quick-1.0-cp312-cp312-manylinux_2_34_x86_64.whl was damaged in the store" in capsys.readouterr().err
    )
    assert index.asked("quick-1.0-cp312-cp312-manylinux_2_34_x86_64.whl") >= 2


def test_a_prepared_wheel_that_rotted_in_the_store_is_prepared_once_more(
    shop: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert run(["build", str(shop)]) == 0
    first = {path.name: path.read_bytes() for path in (shop / "dist").rglob("*.zip")}
    for path in (shop / "dist").rglob("*.zip"):
        path.unlink()
    (rotten,) = (
        path for path in (tmp_path / "store" / "prepared").rglob("*.run") if b"quick-1.0" in path.read_bytes()
    )
    content = bytearray(rotten.read_bytes())
    content[80] ^= 1
    rotten.write_bytes(content)
    capsys.readouterr()
    assert run(["build", str(shop)]) == 0
    assert "quick was damaged in the store" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (shop / "dist").rglob("*.zip")} == first


def test_layers_taken_out_of_the_project_go_from_the_folder(shop: Path, capsys: Capture) -> None:
    assert run(["build", str(shop)]) == 0
    text = (shop / "pyproject.toml").read_text()
    text = text.replace('extra = ["data-lib[fast]"]\n', "").replace('["base", "extra"]', '["base"]')
    (shop / "pyproject.toml").write_text(text)
    assert run(["build", str(shop)]) == 0
    names = {path.name for path in (shop / "dist").rglob("*.zip")}
    assert names == {"py312-shop-2.0-base.zip", "py312-shop-2.0-api-code.zip"}
    capsys.readouterr()


def test_version_control_sees_the_locks_and_nothing_else(shop: Path, capsys: Capture) -> None:
    assert run(["build", str(shop)]) == 0
    subprocess.run(["git", "init", "--quiet", str(shop)], check=True)
    listed = ["git", "-C", str(shop), "status", "--short", "--untracked-files=all", ".layerkit"]
    done = subprocess.run(listed, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["??", ".layerkit/pylock.py312-x86_64.toml"]
    capsys.readouterr()


def test_lock_tells_what_it_chose(shop: Path, capsys: Capture) -> None:
    assert run(["lock", str(shop), "--check"]) == 4
    assert "the lock is missing" in capsys.readouterr().err
    assert run(["lock", str(shop), "--json"]) == 0
    (target,) = _json(capsys)["targets"]
    assert target["sdk"]["mode"] == "runtime"
    assert [one["name"] for one in target["packages"]] == [
        "boto3",
        "botocore",
        "data-lib",
        "quick",
        "urllib3",
        "web-lib",
    ]
    assert run(["lock", str(shop), "--check"]) == 0


def test_lock_upgrades_when_asked(shop: Path, wheels: Path, capsys: Capture) -> None:
    def versions(*more: str) -> dict[str, str]:
        assert run(["lock", str(shop), "--json", *more]) == 0
        (target,) = _json(capsys)["targets"]
        return {one["name"]: one["version"] for one in target["packages"]}

    assert versions()["web-lib"] == "1.5"
    make_wheel(wheels, "web-lib", "1.6", requires=["urllib3"])
    make_wheel(wheels, "quick", "2.0")
    assert versions()["web-lib"] == "1.5"
    moved = versions("--upgrade-package", "web-lib")
    assert (moved["web-lib"], moved["quick"]) == ("1.6", "1.0")
    assert versions("--upgrade")["quick"] == "2.0"


def test_plan_shows_what_goes_where_and_writes_no_zip(shop: Path, capsys: Capture) -> None:
    assert run(["plan", str(shop)]) == 0
    drawn = capsys.readouterr().out
    assert "data-lib quick" in drawn
    assert "left out: boto3 1.42.0" in drawn
    assert not (shop / "dist").exists()
    assert run(["plan", str(shop), "--json"]) == 0
    (target,) = _json(capsys)["targets"]
    assert target["why"]["urllib3"] == ["web-lib", "urllib3"]


def test_tree_goes_down_and_up(shop: Path, capsys: Capture) -> None:
    assert run(["tree", str(shop)]) == 0
    assert "quick 1.0" in capsys.readouterr().out
    assert run(["tree", str(shop), "--reverse", "urllib3", "--json"]) == 0
    (target,) = _json(capsys)["targets"]
    (top,) = target["tree"]
    assert {"botocore", "web-lib"} <= {one["package"] for one in top["dependencies"]}
    assert top["unzipped"] > 0
    assert run(["tree", str(shop), "--reverse", "nothing"]) == 2
    assert "nothing is not in the lock" in capsys.readouterr().err


def test_check_opens_the_zips_again(shop: Path, capsys: Capture) -> None:
    assert run(["check", "--project", str(shop)]) == 3
    assert "nothing was built" in capsys.readouterr().err
    assert run(["build", str(shop)]) == 0
    capsys.readouterr()
    assert run(["check", "--project", str(shop), "--json"]) == 0
    stacks = _json(capsys)["targets"]
    assert [(one["stack"], one["passed"]) for one in stacks] == [("api", True), ("batch", True)]


def test_check_takes_anybodys_zips(shop: Path, capsys: Capture) -> None:
    assert run(["build", str(shop)]) == 0
    base, extra, _ = capsys.readouterr().out.splitlines()
    assert run(["check", base, extra, "--runtime", "py312"]) == 0
    assert run(["check", extra, "--runtime", "py312"]) == 6
    said = capsys.readouterr()
    assert "data-lib 1.0 requires web-lib" in said.out
    assert "1 finding that must not be: missing-requirement" in said.err
    assert run(["check", base]) == 2
    assert "--runtime" in capsys.readouterr().err


def test_check_passes_over_what_is_to_be_ignored_and_fails_on_what_is_asked(
    tmp_path: Path, capsys: Capture
) -> None:
    made = str(zipped(tmp_path / "a.zip", {"python/a.pth": "import os\n"}))
    given = ["check", made, "--runtime", "py312"]
    assert run(given) == 0
    assert run([*given, "--fail-on", "warning"]) == 6
    assert "pth-runs" in capsys.readouterr().out
    assert run([*given, "--fail-on", "warning", "--ignore", "pth-runs"]) == 0
    assert "1 finding passed over: pth-runs" in capsys.readouterr().err
    assert run([*given, "--sarif"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == "2.1.0"
    for wrong, says in (
        (["--ignore", "pth-run"], "did you mean pth-runs?"),
        (["--sarif", "--json"], "both ask for stdout"),
    ):
        assert run([*given, *wrong]) == 2
        assert says in capsys.readouterr().err


def test_projects_have_rules_for_their_checks(shop: Path, capsys: Capture) -> None:
    text = (shop / "pyproject.toml").read_text()
    rules = '[tool.layerkit.check]\nignore = ["nonsense"]\nfail-on = "warning"\n'
    (shop / "pyproject.toml").write_text(f"{text}\n{rules}")
    assert run(["build", str(shop)]) == 0
    assert run(["check", "--project", str(shop)]) == 2
    assert "tool.layerkit.check.ignore: there is no finding called 'nonsense'" in capsys.readouterr().err
    (shop / "pyproject.toml").write_text(f"{text}\n{rules.replace('nonsense', 'pth-runs')}")
    assert run(["check", "--project", str(shop)]) in (0, 6)
    (shop / "pyproject.toml").write_text(f"{text}\n{rules.replace('warning', 'all')}")
    assert run(["check", "--project", str(shop)]) == 3
    assert "'all' is none of error, warning, never" in capsys.readouterr().err


def test_a_stack_that_is_not_whole_fails_the_build_before_anything_is_written(
    shop: Path, wheels: Path, capsys: Capture
) -> None:
    make_wheel(wheels, "lonely", requires=["web-lib"])
    text = (shop / "pyproject.toml").read_text()
    text = text.replace("[tool.layerkit.layers]", '[tool.layerkit.layers]\nalone = ["lonely"]')
    text += '\n[tool.layerkit.functions.bare]\nlayers = ["alone"]\n'
    text += "\n[tool.layerkit.functions.both]\nlayers = ['base', 'alone']\n"
    (shop / "pyproject.toml").write_text(text)
    code = run(["build", str(shop)])
    said = capsys.readouterr().err
    assert code in (3, 6), said
    assert "web-lib" in said
    assert not (shop / "dist").exists()


def test_runtimes_and_cache_print_documents(shop: Path, tmp_path: Path, capsys: Capture) -> None:
    assert run(["runtimes", "--json"]) == 0
    assert "python3.14" in _json(capsys)["runtimes"]
    assert run(["build", str(shop)]) == 0
    capsys.readouterr()
    assert run(["cache", "dir"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "store")
    assert run(["cache", "size", "--json"]) == 0
    kinds = _json(capsys)["kinds"]
    assert (kinds["wheels"]["files"], kinds["prepared"]["files"]) == (6, 4)
    assert run(["cache", "prune"]) == 2
    capsys.readouterr()
    assert run(["cache", "prune", "--max-size", "0", "--json"]) == 0
    assert _json(capsys)["removed"]["files"] >= 10
    assert run(["cache", "clean", "--json"]) == 0
    assert _json(capsys)["removed"]["files"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["nonsense"], 2, "No such command"),
        (["build", "--frobnicate"], 2, "No such option"),
        (["build", "{shop}", "--runtime", "py2"], 2, "there is no Lambda runtime called 'py2'"),
        (["build", "{shop}", "--arch", "mips"], 2, "there is no Lambda architecture called 'mips'"),
        (["build", "{shop}", "--runtime", "py37", "--arch", "arm64"], 2, "python3.7 does not run on arm64"),
        (["build", "{shop}/nothing"], 3, "nothing"),
        (["build", "{shop}/api"], 3, "api"),
        (["check", "{shop}/api/app.py", "--runtime", "py312"], 6, "must not be: archive"),
        (["check", "{shop}/api", "--runtime", "py312"], 2, "api: this is a folder, not a zip"),
        (["check", "{shop}/gone.zip", "--runtime", "py312"], 2, "gone.zip: there is no such file"),
        (["check", "--function", "gone.zip", "--runtime", "py312"], 2, "gone.zip: there is no such file"),
        (["check", "/dev/null", "--runtime", "py312"], 2, "/dev/null: this is no file that can be read"),
        (["build", "{shop}", "--sdk-version", "new"], 2, "--sdk-version: 'new' is not a version of boto3"),
        (["cache", "prune", "--max-size", "lots"], 2, "'lots' is no size"),
    ],
)
def test_wrong_input_is_one_error_with_its_exit_code(
    shop: Path, capsys: Capture, arguments: list[str], code: int, text: str
) -> None:
    assert run([argument.replace("{shop}", str(shop)) for argument in arguments]) == code
    said = capsys.readouterr()
    assert text in said.err
    assert "Traceback" not in said.err


def test_an_error_with_json_is_a_document_too(shop: Path, capsys: Capture) -> None:
    assert run(["build", str(shop), "--runtime", "py2", "--json"]) == 2
    document = _json(capsys)
    assert (document["schema"], document["error"], document["exit_code"]) == (
        "layerkit/error/1",
        "UsageError",
        2,
    )


@pytest.mark.parametrize(
    "wrong", [["check", "--fail-on", "often"], ["check", "--memory", "1"], ["frobnicate"]]
)
def test_a_command_line_that_makes_no_sense_is_a_document_too(capsys: Capture, wrong: list[str]) -> None:
    assert run([*wrong, "--json"]) == 2
    said = capsys.readouterr()
    document = json.loads(said.out)
    Draft202012Validator(schema("error")).validate(document)
    assert document["what"] in said.err


def test_an_error_of_the_system_names_its_file(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr("layerkit.session.load", denied)
    assert run(["build", "--json"]) == 9
    said = capsys.readouterr()
    assert (json.loads(said.out)["what"], json.loads(said.out)["where"]) == (
        "Permission denied",
        str(tmp_path),
    )
    assert f"error: {tmp_path}: Permission denied" in said.err


def test_an_interrupt_is_one_line(shop: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("layerkit.session.load", interrupted)
    assert run(["build", str(shop)]) == 130
    assert capsys.readouterr().err.strip() == "interrupted; nothing half-written is left"


def test_the_version_costs_no_heavy_import() -> None:
    code = "import sys; from layerkit.cli import run; run(['--version']); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    version, modules = done.stdout.splitlines()
    assert version == f"layerkit {__version__}"
    heavy = {
        "rich",
        "boto3",
        "docker",
        "packaging",
        "urllib3",
        "poetry",
        "uv",
        "tomllib",
        "concurrent.futures",
    }
    assert not heavy & set(modules.split())


def test_a_fault_of_our_own_is_no_traceback_unless_asked_for(
    shop: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("layerkit.session.load", broken)
    assert run(["build", str(shop)]) == 1
    assert "this is a fault of layerkit" in capsys.readouterr().err
    monkeypatch.setenv("LAYERKIT_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        run(["build", str(shop)])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is always full")  # noqa: PTH110
def test_output_that_cannot_be_written_is_an_error() -> None:
    command = [sys.executable, "-c", "from layerkit.cli import main; main()", "runtimes", "--json"]
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 9
    assert b"Traceback" not in done.stderr


def test_whoever_stops_reading_is_no_error() -> None:
    command = f"'{sys.executable}' -c 'from layerkit.cli import main; main()' runtimes --json | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, check=False)
    assert done.stderr == b""


def test_bills_are_written_beside_the_layers(shop: Path, capsys: Capture) -> None:
    assert run(["sbom", str(shop)]) == 3
    assert "nothing was built" in capsys.readouterr().err
    assert run(["build", str(shop)]) == 0
    capsys.readouterr()
    assert run(["sbom", str(shop), "--json"]) == 0
    document = _json(capsys)
    Draft202012Validator(schema("sbom")).validate(document)
    for one in document["bills"]:
        with open(one["path"], encoding="utf-8") as file:  # noqa: PTH123 - a path as it was printed
            assert json.load(file)["bomFormat"] == "CycloneDX"
