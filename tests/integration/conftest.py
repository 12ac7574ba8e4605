"""What the integration tests share: one store, one cache of pip's and one pip for the whole session."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

# Their assertions say what differs, as those of the tests do.
pytest.register_assert_rewrite("real", "side_by_side")

from real import Workshop, open_workshop  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """Give the session's workshop; its gigabyte of wheels is taken away afterwards."""
    folder = tmp_path_factory.mktemp("real")
    yield open_workshop(folder)
    shutil.rmtree(folder, ignore_errors=True)
