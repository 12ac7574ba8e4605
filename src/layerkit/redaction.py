"""Keeping users, passwords and signatures out of everything that is shown or kept."""

from __future__ import annotations

import re

_USER = re.compile(r"(?<=://)[^/?#\s]*@")
# What is shown errs on the side of hiding: a password whose ? or # should have been encoded goes too.
_PERHAPS_USER = re.compile(r"(?<=://)[^/\s]*@")
_QUERY = re.compile(r"(://[^\s?#]*)\?[^\s#]*")


def strip_credentials(text: str) -> str:
    """Return a text, or an address, without the user and password of any address in it."""
    return _USER.sub("", text)


def redact(text: str) -> str:
    """Return a text fit to be shown: no user, no password, no query, which may hold a signature."""
    return _QUERY.sub(r"\1?...", _PERHAPS_USER.sub("", text))
