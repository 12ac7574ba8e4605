"""What the function answers when it fails: the names that its callers know."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerkit.errors import LayerkitError


class FailedError(Exception):
    """Something went wrong; `kind` and `code` are what the reply says of it."""

    kind = "ServiceException"
    code = 500


class NotFoundError(FailedError):
    """What was asked for is nothing, or is not to be had: no name, no such package, no wheel that fits."""

    kind = "ResourceNotFoundException"
    code = 404


def said(error: LayerkitError) -> str:
    """Return what an error of layerkit says, without advice about options: there is no command line here."""
    text = f"{error.where}: {error.what}" if error.where else error.what
    return f"{text}\n{error.fix}" if error.fix and "--" not in error.fix else text
