"""SOURCE_DATE_EPOCH: the seconds since 1970 that a build is to write in place of today's date.

Every file of ours is dated 1980-01-01, the first day a zip can name, so its value changes no byte: any
number of seconds is right, before 1980 and after 2107, where the dates of a zip end, as well. What is no
number is an error, as the variable's specification asks for:
https://reproducible-builds.org/specs/source-date-epoch/. Build backends are given `EPOCH`, whatever the
user's variable says.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from layerkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EPOCH", "refuse_garbage"]

_NAME = "SOURCE_DATE_EPOCH"
EPOCH = "315532800"  # 1980-01-01


def refuse_garbage(environment: Mapping[str, str]) -> None:
    """Raise UsageError where the variable is set, is not empty, and is no whole number of seconds."""
    value = environment.get(_NAME, "")
    if value and re.fullmatch("[0-9]+", value) is None:
        raise UsageError(
            f"{value!r} is no number of seconds since 1970",
            where=_NAME,
            fix="unset it: layerkit dates every file 1980-01-01, whatever it says",
        )
