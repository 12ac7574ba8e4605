"""What the integration tests share: one store, one cache of pip's and one pip for the whole session."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Their assertions say what differs, as those of the tests do.
pytest.register_assert_rewrite("lambda_like", "real", "side_by_side")

from lambda_like import Function, install_runtime, missing, without  # noqa: E402
from layerkit.lock.places import uv_binary  # noqa: E402
from layerkit.target import target  # noqa: E402
from real import Workshop, open_workshop  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """Give the session's workshop; its gigabyte of wheels is taken away afterwards."""
    folder = tmp_path_factory.mktemp("real")
    yield open_workshop(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def lambda_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with awslambdaric for this interpreter."""
    if reason := missing():
        without(reason)
    return install_runtime(uv_binary(), Path(sys.executable), tmp_path_factory.mktemp("runtime"))


@pytest.fixture
def make_function(lambda_runtime: Path, tmp_path: Path) -> Callable[..., Function]:
    """Give what makes a function of a handler's source, with layers in the folder `opt`."""

    def make(code: str, environment: Mapping[str, str] | None = None, **more: object) -> Function:
        for folder in ("opt", "task"):
            (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / "task" / "app.py").write_text(code)
        return Function(
            target=target(f"{sys.version_info.major}.{sys.version_info.minor}"),
            opt=tmp_path / "opt",
            task=tmp_path / "task",
            runtime=lambda_runtime,
            python=Path(sys.executable),
            environment=environment or {},
            **more,  # type: ignore[arg-type]
        )

    return make
