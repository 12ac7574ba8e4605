"""Wheels from source archives, built by a real engine in stand-ins of the Lambda images."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest
from docker.errors import NotFound

from factory import make_wheel
from layerkit.store import Store
from sdists import Workshop, extension, pure

if TYPE_CHECKING:
    from pathlib import Path

_OFF_LINE = """
import socket
try:
    socket.create_connection(("192.0.2.1", 80), 2)
    said = "reached"
except OSError as error:
    said = error.strerror
print("NETWORK:", said)
"""


@pytest.fixture
def bench(source_workshop: Workshop) -> Workshop:
    return source_workshop


def log(bench: Workshop, name: str) -> str:
    return (bench.root / ".layerkit" / "logs" / name).read_text()


def lock_text(bench: Workshop, name: str = "pylock.py312-x86_64.toml") -> str:
    return (bench.root / ".layerkit" / name).read_text()


def forget_wheel(bench: Workshop) -> None:
    """Take the wheel that was built out of the store, as `cache prune` would."""
    built = re.search(r'built\.hashes\]\nsha256 = "(\w+)"', lock_text(bench))
    assert built
    Store(bench.store).evict("wheels", built[1], ".whl")


def test_an_extension_is_built_for_two_pythons_and_imported_in_both(bench: Workshop) -> None:
    extension(bench.wheels)
    bench.declare("cext", runtimes=("3.9", "3.12"))
    said = bench.build()
    assert said.count("packages are built from source") == 2
    for runtime in ("3.9", "3.12"):
        assert bench.answer(runtime, "import cext; print(cext.answer())") == "42"
    # Tagged by what it really needs: the symbols it uses are older than both images.
    for short, abi in (("py39", "cp39"), ("py312", "cp312")):
        assert f"cext-1.0-{abi}-{abi}-manylinux1_x86_64" in lock_text(bench, f"pylock.{short}-x86_64.toml")
    assert bench.containers() == []


def test_a_second_build_takes_no_container_and_no_engine(
    bench: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    extension(bench.wheels)
    bench.declare("cext")
    bench.build()
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert "nothing to do" in bench.build()
    (bench.root / "dist").rename(bench.root / "before")
    bench.build("--locked")
    name = "layers/python3.12-x86_64/py312-app-1-default.zip"
    assert (bench.root / "dist" / name).read_bytes() == (bench.root / "before" / name).read_bytes()


def test_a_new_lock_finds_the_wheel_that_was_built(bench: Workshop) -> None:
    extension(bench.wheels)
    bench.declare("cext")
    bench.build()
    make_wheel(bench.wheels, "lib")
    bench.declare("cext", "lib")
    said = bench.build()
    assert "building cext" not in said
    assert "resolving" in said


def test_pure_sources_give_wheels_for_any_platform(bench: Workshop) -> None:
    pure(bench.wheels, "plain", "")
    bench.declare("plain")
    bench.build()
    assert 'name = "plain-1.0-py3-none-any.whl"' in lock_text(bench)


def test_a_source_that_needs_another_one_to_be_built(bench: Workshop) -> None:
    pure(bench.wheels, "helper", "", files={"helper.py": "text = 'from the helper'\n"})
    pure(
        bench.wheels,
        "user",
        "import helper; open('user.py', 'w').write(f'text = {helper.text!r}')",
        files={"pyproject.toml": '[build-system]\nrequires = ["setuptools", "helper"]\n'},
    )
    bench.declare("user")
    said = bench.build()
    assert [line.split(" in ")[0] for line in said.splitlines() if "building" in line] == [
        "python3.12-x86_64: building user 1.0",
        "python3.12-x86_64: building helper 1.0",
    ]
    assert bench.answer("3.12", "import user; print(user.text)") == "from the helper"
    # What a build takes is no part of the project.
    assert [line for line in lock_text(bench).splitlines() if line.startswith('name = "helper"')] == []
    assert '"helper==1.0"' in lock_text(bench)


def test_what_a_backend_asks_for_itself_is_there(bench: Workshop) -> None:
    pure(bench.wheels, "helper", "", files={"helper.py": "text = 'asked for'\n"})
    pure(
        bench.wheels,
        "user",
        "",
        files={
            "pyproject.toml": '[build-system]\nrequires = ["setuptools"]\n'
            'build-backend = "mine"\nbackend-path = ["backend"]\n',
            "backend/mine.py": "from setuptools.build_meta import *\n"
            "from setuptools.build_meta import build_wheel as really\n"
            "def get_requires_for_build_wheel(config_settings=None): return ['helper']\n"
            "def build_wheel(*given, **more):\n"
            "    import helper\n"
            "    open('user.py', 'w').write(f'text = {helper.text!r}')\n"
            "    return really(*given, **more)\n",
        },
    )
    bench.declare("user")
    bench.build()
    assert bench.answer("3.12", "import user; print(user.text)") == "asked for"


# System packages and libraries


def test_a_library_of_the_system_comes_along_in_the_wheel(bench: Workshop) -> None:
    extension(
        bench.wheels,
        include="#include <yaml.h>",
        body="return PyUnicode_FromString(yaml_get_version_string());",
        libraries=["yaml"],
    )
    bench.declare(
        "cext", more='system-packages = ["libyaml-dev"]\n[tool.layerkit.docker]\nnetwork = "host"\n'
    )
    said = bench.build()
    assert "installing libyaml-dev" in said
    assert "libyaml-dev" in log(bench, "python3.12-x86_64-system-packages.log")
    assert 'system = [\n    "libyaml-dev",\n]' in lock_text(bench)
    # The runtime's image has no libyaml: what is loaded is the one of the layer.
    program = (
        "import cext; print(cext.answer()); print([l for l in open('/proc/self/maps') if 'yaml' in l][0])"
    )
    version, loaded = bench.answer("3.12", program).splitlines()[:2]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert re.search(r"/opt/python/lib/python3\.12/site-packages/cext\.libs/libyaml-0-\w+\.so", loaded)


def test_a_library_that_is_nowhere_is_named(bench: Workshop) -> None:
    first = (
        "import os, subprocess\n"
        "open('ghost.c', 'w').write('int ghost(void) { return 1; }')\n"
        "command = 'gcc -shared -fPIC -o libghost.so -Wl,-soname,libghost.so.1 ghost.c'\n"
        "subprocess.run(command.split(), check=True)\n"
        "os.environ['LDFLAGS'] = '-L.'\n"
    )
    extension(bench.wheels, include="int ghost(void);", body="return PyLong_FromLong(ghost());",
              libraries=["ghost"], first=first)  # fmt: skip
    bench.declare("cext")
    code, _, said = bench.run("build")
    assert code == 10
    assert "libraries that the wheel needs are nowhere in the image:" in said
    assert "cext.cpython-312-x86_64-linux-gnu.so needs libghost.so.1" in said
    assert "system-packages" in said


def test_symbols_newer_than_the_runtimes_are_an_error_that_names_them(bench: Workshop) -> None:
    # The stand-in's glibc is 2.36: stat() got a symbol of its own in 2.33, and python3.9 has 2.26.
    extension(
        bench.wheels,
        include="#include <sys/stat.h>",
        body='struct stat found; return PyLong_FromLong(stat("/", &found));',
    )
    bench.declare("cext", runtimes=("3.9",))
    code, _, said = bench.run("build")
    assert code == 10
    assert "it cannot run on this runtime: python3.9 has glibc 2.26" in said
    assert "cext.cpython-39-x86_64-linux-gnu.so needs GLIBC_2.33 of libc.so.6" in said
    bench.declare("cext", runtimes=("3.12",))
    bench.build()
    assert "cext-1.0-cp312-cp312-manylinux_2_34_x86_64.whl" in lock_text(bench)


def test_a_system_package_that_does_not_exist(bench: Workshop) -> None:
    extension(bench.wheels)
    bench.declare(
        "cext", more='system-packages = ["no-such-package"]\n[tool.layerkit.docker]\nnetwork = "host"\n'
    )
    code, _, said = bench.run("build")
    assert code == 10
    assert "the system packages could not be installed" in said
    assert "Unable to locate package no-such-package" in said


# Failing builds


def test_a_failing_build_shows_its_end_and_where_all_of_it_is(bench: Workshop) -> None:
    extension(bench.wheels, body="return nonsense;", first="print('FIRST WORDS', *range(60), sep='\\n')\n")
    bench.declare("cext")
    code, out, said = bench.run("build", "--json")
    assert code == 10
    error = json.loads(out)
    assert "cext 1.0 could not be built (building), exit code 1" in error["what"]
    assert "nonsense" in error["what"]
    (path,) = re.findall(r"the whole log: (\S+)", error["fix"])
    whole = (bench.root / path).read_text()
    assert "FIRST WORDS" in whole
    assert "FIRST WORDS" not in error["what"]
    assert said.count("building cext") == 1
    assert bench.containers() == []
    assert not (bench.root / "dist").exists()
    # Nothing of a failure is kept: the next try builds.
    extension(bench.wheels)
    bench.build()


def test_a_build_that_gives_another_package_is_refused(bench: Workshop) -> None:
    extension(bench.wheels, "other", version="2.0")
    (bench.wheels / "other-2.0.tar.gz").rename(bench.wheels / "cext-1.0.tar.gz")
    bench.declare("cext")
    code, _, said = bench.run("build")
    assert code == 10
    assert "its build gave other 2.0" in said


def test_a_build_that_requires_itself_is_refused(bench: Workshop) -> None:
    pure(bench.wheels, "ouroboros", "", files={
        "pyproject.toml": '[build-system]\nrequires = ["setuptools", "ouroboros"]\n'
    })  # fmt: skip
    bench.declare("ouroboros")
    code, _, said = bench.run("build")
    assert code == 10
    assert "its build requires itself: ouroboros-1.0 -> ouroboros-1.0" in said


def test_an_image_without_the_runtimes_python(bench: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYERKIT_BUILD_IMAGE_PY312", bench.stand_ins["python3.9"].build)
    extension(bench.wheels)
    bench.declare("cext")
    code, _, said = bench.run("build")
    assert code == 11
    assert "the image has not the Python of the runtime" in said


# Without a network


def test_offline_a_build_has_no_network_and_needs_none(bench: Workshop) -> None:
    pure(bench.wheels, "plain", _OFF_LINE)
    bench.declare("plain", more='[tool.layerkit.docker]\nnetwork = "host"\n')
    bench.build()
    online = log(bench, "python3.12-x86_64-plain-1.0.log")
    assert "NETWORK: Network is unreachable" not in online
    forget_wheel(bench)
    said = bench.build("--offline")
    assert "building plain" in said
    assert "NETWORK: Network is unreachable" in log(bench, "python3.12-x86_64-plain-1.0.log")


def test_offline_what_was_never_fetched_is_named(bench: Workshop) -> None:
    extension(bench.wheels)
    bench.declare("cext")
    bench.run("lock")
    Store(bench.store).clean()
    code, _, said = bench.run("build", "--offline")
    assert code == 5
    assert "cext-1.0.tar.gz" in said


# The lock on another machine


def test_another_machine_builds_the_same_bytes_from_the_lock(bench: Workshop) -> None:
    extension(bench.wheels)
    bench.declare("cext")
    bench.build()
    before = lock_text(bench)
    Store(bench.store).clean()
    said = bench.build("--locked")
    assert "building cext" in said
    assert lock_text(bench) == before


def test_other_bytes_than_the_locks_are_said_and_locked_refuses_them(bench: Workshop) -> None:
    pure(bench.wheels, "fickle", "import time; open('fickle.py', 'w').write(f'made = {time.time()}')")
    bench.declare("fickle")
    bench.build()
    before = lock_text(bench)
    Store(bench.store).clean()
    code, _, said = bench.run("build", "--locked")
    assert code == 4
    assert "built again, these are not the wheels of the lock: fickle 1.0" in said
    assert lock_text(bench) == before
    Store(bench.store).clean()
    assert "built again, with other bytes than the lock has: fickle 1.0" in bench.build()
    assert lock_text(bench) != before
    assert bench.answer("3.12", "import fickle; print(fickle.made > 0)") == "True"


def test_the_engine_rule_wheels_builds_nothing(bench: Workshop) -> None:
    extension(bench.wheels)
    bench.declare("cext")
    code, _, said = bench.run("build", "--engine", "wheels")
    assert code == 4
    assert "let layerkit build it from source in" in said
    bench.declare("cext", more='build = ["cext"]\n')
    code, _, said = bench.run("build", "--engine", "wheels")
    assert code == 2
    assert "that takes Docker" in said


# What stays secret


def test_no_credentials_reach_the_code_of_packages_the_log_or_the_engine(
    bench: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tell = "import os; print('GIVEN', dict(os.environ)); print(open('/proc/self/environ').read())"
    pure(bench.wheels, "curious", f"{tell}\nimport time; time.sleep(1)")
    bench.declare("curious")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine h login me password in-netrc\n")
    monkeypatch.setenv("NETRC", str(netrc))
    index = os.environ["UV_DEFAULT_INDEX"]
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.replace("://", "://me:in-index@"))
    monkeypatch.setenv("HTTPS_PROXY", "http://me:in-proxy@127.0.0.1:9")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "in-aws")
    seen: list[str] = []
    with bench.start("build") as process:
        while process.poll() is None:
            for container in bench.containers():
                with contextlib.suppress(NotFound):
                    container.reload()
                    seen.append(json.dumps(container.attrs) + json.dumps(container.image.history()))
        assert process.returncode == 0
    assert seen
    said = log(bench, "python3.12-x86_64-curious-1.0.log")
    assert "GIVEN" in said
    assert "127.0.0.1:9" in said, "the proxy is there for who needs it"
    for secret in ("in-netrc", "in-index", "in-proxy", "in-aws"):
        assert secret not in said
        assert not [text for text in seen if secret in text]
        assert secret not in lock_text(bench)


# The project's own code


def own_extension(bench: Workshop, more: str = "") -> None:
    """Write a project that is an extension module itself."""
    archive = extension(bench.root, "app", "1")
    shutil.unpack_archive(archive, bench.root)
    for path in (bench.root / "app-1").iterdir():
        path.rename(bench.root / path.name)
    (bench.root / "app-1").rmdir()
    archive.unlink()
    (bench.root / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "app"\nversion = "1"\n'
        f'[tool.layerkit]\nruntimes = ["3.12"]\nlayers = {{default = {{project = true}}}}\n{more}\n'
    )


@pytest.mark.parametrize("more", ["", 'build = ["app"]\n'])
def test_the_projects_own_extension_is_built_in_the_image(
    more: str, bench: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_extension(bench, more)
    said = bench.build()
    assert "building app 1 in layerkit-stand-in/build:python3.12" in said
    assert bench.answer("3.12", "import app; print(app.answer())") == "42"
    # Its content is the same: neither engine nor container is needed.
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    if more:
        assert "nothing to do" in bench.build()
        (bench.root / "app.c").write_text((bench.root / "app.c").read_text().replace("42", "43"))
        code, _, said = bench.run("build")
        assert code == 11
        assert "no container engine answers" in said
