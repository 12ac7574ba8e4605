"""Layers that Dockerfiles make, built by a real engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from factory import make_wheel
from layerkit.archive import Archive
from layerkit.cli import run
from layerkit.container.engine import OWNER

if TYPE_CHECKING:
    from docker import DockerClient

    from loopback import Loopback
    from stand_ins import StandIns

KEY = "python3.12-x86_64"
# A shared library with the links that it usually has, a program that needs it, data, and a Python package.
GDAL = """\
ARG LAYERKIT_BUILD_IMAGE
FROM ${LAYERKIT_BUILD_IMAGE} AS build
ARG ANSWER=42
COPY answer.c main.c /src/
RUN mkdir -p /opt/lib /opt/bin /opt/share/geo /opt/python/geo \\
 && gcc -shared -fPIC -DANSWER=${ANSWER} -Wl,-soname,libanswer.so.1 \\
      -o /opt/lib/libanswer.so.1.0 /src/answer.c \\
 && ln -s libanswer.so.1.0 /opt/lib/libanswer.so.1 && ln -s /opt/lib/libanswer.so.1 /opt/lib/libanswer.so \\
 && gcc -o /opt/bin/answer /src/main.c -L/opt/lib -lanswer \\
 && echo epsg > /opt/share/geo/proj.db && ln /opt/share/geo/proj.db /opt/share/geo/hard.db \\
 && echo 'import ctypes; VALUE = ctypes.CDLL("libanswer.so.1").answer()' > /opt/python/geo/__init__.py \\
 && python3 -m compileall -q /opt/python
FROM scratch AS layer
COPY --from=build /opt /opt
FROM layer AS other
COPY answer.c /opt/share/
"""
SOURCES = {
    "answer.c": "int answer(void) { return ANSWER; }\n",
    "main.c": """\
#include <stdio.h>
int answer(void);
int main(void) { printf("%d\\n", answer()); return 0; }
""",
}


@pytest.fixture
def geo(
    tmp_path: Path,
    index: Loopback,
    wheels: Path,
    stand_ins: dict[str, StandIns],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Lay down a project with a layer of wheels and one that a Dockerfile makes."""
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "store"))
    monkeypatch.setenv("LAYERKIT_BUILD_IMAGE_PY312", stand_ins["python3.12"].build)
    for name, requires in (("boto3", ["botocore==1.42.0"]), ("botocore", []), ("lib", [])):
        make_wheel(wheels, name, "1.42.0", requires=requires)
    assert index.names()
    folder = tmp_path / "geo"
    (folder / "docker").mkdir(parents=True)
    declare(folder, ', target = "layer"')
    for name, text in {"gdal.Dockerfile": GDAL, **SOURCES}.items():
        (folder / "docker" / name).write_text(text)
    return folder


def declare(folder: Path, more: str) -> None:
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "geo"\nversion = "1"\ndependencies = ["lib"]\n'
        '[tool.layerkit]\nruntimes = ["py312"]\nsdk-version = "1.42.0"\n'
        f"[tool.layerkit.layers]\nmain = {{dependencies = true}}\n"
        f'gdal = {{dockerfile = "docker/gdal.Dockerfile"{more}}}\n'
    )


def layerkit(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Run a command and return what it prints as JSON."""
    code = run([*arguments, "--json"])
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert printed.get("exit_code", code) == code
    return printed


def built(capsys: pytest.CaptureFixture[str], folder: Path, *more: str) -> dict[str, Any]:
    """Build, and return the entry of the only target, with its manifest."""
    printed = layerkit(capsys, "build", str(folder), *more)
    assert "targets" in printed, printed
    (one,) = printed["targets"]
    return {**one, "said": json.loads(Path(one["manifest"]).read_text())}


def zip_of(folder: Path) -> Path:
    return folder / "dist" / "layers" / KEY / "py312-geo-1-gdal.zip"


def leftovers(engine: DockerClient, process: int | None = None) -> list[str]:
    """Return the containers that a process made, this one unless another is named."""
    found = engine.containers.list(all=True, filters={"label": OWNER})
    return [str(one.name) for one in found if f".{process or os.getpid()}." in one.labels[OWNER]]


def test_what_it_leaves_in_opt_is_the_layer(
    geo: Path, engine: DockerClient, stand_ins: dict[str, StandIns], capsys: pytest.CaptureFixture[str]
) -> None:
    made = built(capsys, geo)
    with Archive.open(zip_of(geo)) as archive:
        files = {member.name: archive.read(member) for member in archive.members}
        programs = {member.name for member in archive.members if member.executable}
    library = files["lib/libanswer.so.1.0"]
    assert library.startswith(b"\x7fELF")
    assert files == {
        "bin/answer": files["bin/answer"],
        "lib/libanswer.so": library,
        "lib/libanswer.so.1": library,
        "lib/libanswer.so.1.0": library,
        "python/geo/__init__.py": files["python/geo/__init__.py"],
        "share/geo/hard.db": b"epsg\n",
        "share/geo/proj.db": b"epsg\n",
    }
    assert "bin/answer" in programs
    assert "share/geo/proj.db" not in programs
    layer = next(one for one in made["said"]["layers"] if one["name"] == "gdal")
    assert layer["packages"] == []
    assert layer["opt"]["dockerfile"] == "docker/gdal.Dockerfile"
    assert engine.images.get(layer["opt"]["image"]).tags == ["layerkit/geo-gdal:python3.12-x86_64"]
    assert layer["opt"]["bases"] == [
        {"name": stand_ins["python3.12"].build, "digest": engine.images.get(stand_ins["python3.12"].build).id}
    ]
    assert made["engine"]["used"] == "docker"
    assert any("a layer has no links: 3 files" in note for note in made["said"]["notes"])
    assert leftovers(engine) == []


def test_the_runtime_finds_program_library_and_package(
    geo: Path, engine: DockerClient, stand_ins: dict[str, StandIns], capsys: pytest.CaptureFixture[str]
) -> None:
    built(capsys, geo)
    made = engine.containers.create(
        stand_ins["python3.12"].run,
        ["sh", "-c", "answer && PYTHONPATH=/opt/python python3 -c 'import geo; print(geo.VALUE)'"],
    )
    try:
        made.put_archive("/opt", as_tar(zip_of(geo)))
        made.start()
        assert made.wait()["StatusCode"] == 0, made.logs()
        assert made.logs().split() == [b"42", b"42"]
    finally:
        made.remove(force=True)


def as_tar(path: Path) -> bytes:
    """Return a layer's zip as a tar, the way Lambda lays it down."""
    from layerkit.container.tarred import Entry, pack

    with Archive.open(path) as archive:
        entries = [
            Entry(name=member.name, content=archive.read(member), mode=0o755 if member.executable else 0o644)
            for member in archive.members
        ]
    return b"".join(pack(entries))


def test_unchanged_it_is_not_built_again_and_runs_nothing(
    geo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = geo / ".layerkit" / "logs" / f"{KEY}-gdal.log"
    first = built(capsys, geo)
    before, began = zip_of(geo).read_bytes(), log.stat().st_mtime_ns
    assert built(capsys, geo)["unchanged"] is True
    # Without the zips, the store has it; without the engine too.
    zip_of(geo).unlink()
    second = built(capsys, geo)
    assert (second["unchanged"], second["engine"]["used"]) == (False, "wheels")
    zip_of(geo).unlink()
    built(capsys, geo, "--engine", "wheels")
    assert zip_of(geo).read_bytes() == before
    assert first["said"]["layers"] == second["said"]["layers"]
    assert log.stat().st_mtime_ns == began


def test_the_same_files_give_the_same_bytes_whatever_else_differs(
    geo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    built(capsys, geo)
    before = zip_of(geo).read_bytes()
    others = "find /opt -exec touch -h -d 2001-02-03 {} + && chmod -R go-rx /opt/share"
    text = GDAL.replace("python3 -m compileall -q /opt/python", others)
    copies = [f"COPY --from=build --chown=1000:50 /opt/{each} /opt/{each}\n" for each in ("share", "python")]
    text = text.replace("COPY --from=build /opt /opt\n", "".join([*copies, "COPY --from=build /opt /opt\n"]))
    (geo / "docker" / "gdal.Dockerfile").write_text(text)
    assert built(capsys, geo)["engine"]["used"] == "docker"
    assert zip_of(geo).read_bytes() == before


def test_arguments_stages_context_and_base_make_it_anew(
    geo: Path, engine: DockerClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def image() -> str:
        made = built(capsys, geo)
        layer = next(one for one in made["said"]["layers"] if one["name"] == "gdal")
        return str(layer["opt"]["image"])

    images = [image()]
    declare(geo, ', target = "layer", args = {ANSWER = "7"}')
    images.append(image())
    declare(geo, ', args = {ANSWER = "7"}')
    images.append(image())
    with Archive.open(zip_of(geo)) as archive:
        assert "share/answer.c" in {member.name for member in archive.members}
    (geo / "docker" / "answer.c").write_text(SOURCES["answer.c"] + "\n")
    images.append(image())
    base = engine.images.get(os.environ["LAYERKIT_BUILD_IMAGE_PY312"])
    moved = engine.containers.create(base, ["true"])
    try:
        moved.commit("layerkit-test/moved", "1", changes="ENV MOVED=1")
        monkeypatch.setenv("LAYERKIT_BUILD_IMAGE_PY312", "layerkit-test/moved:1")
        images.append(image())
        moved.commit("layerkit-test/moved", "1", changes="ENV MOVED=2")
        images.append(image())
    finally:
        moved.remove(force=True)
        engine.images.remove("layerkit-test/moved:1", force=True)
    assert len(set(images)) == len(images)


def test_plan_and_check_know_of_it(geo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (plan,) = layerkit(capsys, "plan", str(geo))["targets"]
    layer = next(one for one in plan["layers"] if one["name"] == "gdal")
    assert (layer["dockerfile"], layer["packages"]) == ("docker/gdal.Dockerfile", [])
    assert plan["stacks"][0]["layers"] == ["main", "gdal"]
    assert plan["stacks"][0]["unzipped"] == sum(one["unzipped"] for one in plan["layers"])
    assert not (geo / "dist").exists()
    made = built(capsys, geo)
    assert made["said"]["stacks"][0]["unzipped"] == plan["stacks"][0]["unzipped"]
    (checked,) = layerkit(capsys, "check", "--project", str(geo))["targets"]
    assert checked["findings"] == []


def test_the_shell_door_builds_it_too(geo: Path, tmp_path: Path) -> None:
    script = Path(__file__).parents[3] / "layer_builds.sh"
    environment = {**os.environ, "ZIP_PATH": str(tmp_path / "zips"), "PROJECT": str(geo)}
    done = subprocess.run(
        ["bash", script, "py312"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "zips").iterdir()) == [
        "py312-geo-1-gdal.zip",
        "py312-geo-1-main.zip",
    ]
    assert "7 files of docker/gdal.Dockerfile" in done.stderr


def test_a_step_that_fails_is_told_with_its_last_lines_and_the_log(
    geo: Path, engine: DockerClient, capsys: pytest.CaptureFixture[str]
) -> None:
    (geo / "docker" / "answer.c").write_text("int answer(void) { return nothing; }\n")
    printed = layerkit(capsys, "build", str(geo))
    log = geo / ".layerkit" / "logs" / f"{KEY}-gdal.log"
    assert (printed["error"], printed["exit_code"]) == ("BuildError", 10)
    assert printed["where"] == "docker/gdal.Dockerfile"
    assert "returned a non-zero code: 1" in printed["what"]
    assert "undeclared (first use in this function)" in printed["what"]
    assert str(log) in printed["fix"]
    assert "Step 1/" in log.read_text()
    assert not (geo / "dist").exists()
    assert leftovers(engine) == []


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("RUN rm -rf /opt", "leaves no file in /opt"),
        ("RUN mkdir -p /opt && mknod /opt/null c 1 3", "/opt/null is a device"),
        ("RUN mkdir -p /opt && mkfifo /opt/pipe", "/opt/pipe is a device, a pipe"),
        ("RUN mkdir -p /opt && cp /bin/true /opt/su && chmod 4755 /opt/su", "/opt/su runs as another user"),
        ("RUN mkdir -p /opt && ln -s /etc/passwd /opt/users", "/opt/users leads out of /opt: /etc/passwd"),
        ("RUN mkdir -p /opt && ln -s ../../../etc/passwd /opt/users", "/opt/users leads out of /opt"),
        ("RUN rm -rf /opt && ln -s /etc /opt", "cannot become a layer"),
        ("RUN mkdir -p /opt/a && touch /opt/a/x /opt/a/X", "/opt/a/x"),
        ("RUN mkdir -p /opt && touch \"/opt/$(printf 'a\\tb')\"", "/opt/a\\tb"),
    ],
)
def test_what_no_layer_can_hold_is_refused(
    geo: Path, engine: DockerClient, capsys: pytest.CaptureFixture[str], step: str, said: str
) -> None:
    text = f"ARG LAYERKIT_BUILD_IMAGE\nFROM ${{LAYERKIT_BUILD_IMAGE}}\n{step}\n"
    (geo / "docker" / "gdal.Dockerfile").write_text(text)
    declare(geo, "")
    printed = layerkit(capsys, "build", str(geo))
    assert (printed["error"], printed["where"]) == ("BuildError", "docker/gdal.Dockerfile")
    assert said in printed["what"]
    assert not (geo / "dist").exists()
    assert leftovers(engine) == []


def test_a_package_of_the_dockerfile_and_one_of_the_lock_are_checked_together(
    geo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "ARG LAYERKIT_BUILD_IMAGE\nFROM ${LAYERKIT_BUILD_IMAGE}\nCOPY METADATA /opt/python/{0}/METADATA\n"
        "COPY METADATA /opt/python/lib.py\n"
    ).replace("{0}", "lib-2.0.dist-info")
    (geo / "docker" / "gdal.Dockerfile").write_text(text)
    (geo / "docker" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: lib\nVersion: 2.0\nRequires-Dist: gone\n"
    )
    declare(geo, "")
    printed = layerkit(capsys, "build", str(geo))
    assert printed["error"] == "CheckFailedError"
    assert "lib is there in different versions: 1.42.0 in main and 2.0 in gdal" in printed["what"]
    assert "lib 2.0 requires gone" in printed["what"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_build_leaves_nothing_running(
    geo: Path, engine: DockerClient, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    marker = f"layerkit-test-{number}-{os.getpid()}"
    text = GDAL.replace("RUN mkdir", f"RUN echo {marker} && sleep 600\nRUN mkdir", 1)
    (geo / "docker" / "gdal.Dockerfile").write_text(text)
    started = subprocess.Popen(
        [sys.executable, "-m", "layerkit", "build", str(geo)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: bool(sleepers(engine, marker)), "the step began")
    finally:
        started.send_signal(number)
        code = started.wait(60)
    assert code in {130, 143, -number}
    wait_for(lambda: not sleepers(engine, marker), "the step's container is gone")
    assert leftovers(engine, started.pid) == []
    assert not (geo / "dist").exists()
    (geo / "docker" / "gdal.Dockerfile").write_text(GDAL)
    assert built(capsys, geo)["unchanged"] is False
    assert leftovers(engine) == []


def sleepers(engine: DockerClient, marker: str) -> list[Any]:
    """Return the containers whose step carries the marker."""
    found = engine.api.containers()
    return [one["Id"] for one in found if marker in one["Command"]]


def wait_for(happened: Any, what: str) -> None:
    deadline = time.monotonic() + 300
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)
