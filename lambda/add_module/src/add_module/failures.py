"""What the function answers when it fails: the names that its callers know."""

from __future__ import annotations


class FailedError(Exception):
    """Something went wrong; `kind` and `code` are what the reply says of it."""

    kind = "ServiceException"
    code = 500


class NotFoundError(FailedError):
    """What was asked for is nothing, or is not to be had: no name, no such package, no wheel that fits."""

    kind = "ResourceNotFoundException"
    code = 404
