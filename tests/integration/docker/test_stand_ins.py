"""The stand-ins are laid out as Lambda's images are: else the tests that use them prove nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerkit.target import facts, target

if TYPE_CHECKING:
    from docker import DockerClient

    from stand_ins import StandIns

_LOOK = """
import sys
sys.path.append({sdk_dir!r})
import boto3, bz2, ctypes, lzma, platform, sqlite3, ssl
print(platform.python_version(), sys.executable, boto3.__version__, boto3.__file__.startswith({sdk_dir!r}))
"""


@pytest.mark.parametrize("runtime", ["python3.9", "python3.12"])
@pytest.mark.parametrize("flavour", ["run", "build"])
def test_the_interpreter_and_the_sdk_are_where_lambda_has_them(
    engine: DockerClient, stand_ins: dict[str, StandIns], runtime: str, flavour: str
) -> None:
    names, on = stand_ins[runtime], target(runtime)
    assert on.sdk
    look = _LOOK.format(sdk_dir=facts()["runtimes"][runtime]["sdk_dir"])
    command = [on.interpreter, "-c", look]
    said = engine.containers.run(getattr(names, flavour), command, remove=True).decode()
    assert said.split() == [names.python, on.interpreter, on.sdk.boto3, "True"]


@pytest.mark.parametrize(("flavour", "code"), [("run", 1), ("build", 0)])
def test_only_the_build_image_has_a_compiler(
    engine: DockerClient, stand_ins: dict[str, StandIns], flavour: str, code: int
) -> None:
    made = engine.containers.create(getattr(stand_ins["python3.12"], flavour), ["sh", "-c", "command -v gcc"])
    try:
        made.start()
        assert (made.wait()["StatusCode"] != 0) == bool(code)
    finally:
        made.remove(force=True)
