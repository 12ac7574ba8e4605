"""Users, passwords and signatures do not get out."""

from __future__ import annotations

import pytest

from layerkit.redaction import redact, strip_credentials


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("https://host/a.whl#sha256=ab", "https://host/a.whl#sha256=ab"),
        ("https://me:pw@host:8080/a.whl", "https://host:8080/a.whl"),
        ("https://token@host/a.whl", "https://host/a.whl"),
        ("https://me:p@ss@w@host/a.whl", "https://host/a.whl"),
        ("https://host/@scope/a@1.whl", "https://host/@scope/a@1.whl"),
        ("https://host/a?mail=me@there", "https://host/a?mail=me@there"),
        (
            "see https://a:b@one/ and http://c:d@two/, or me@there",
            "see https://one/ and http://two/, or me@there",
        ),
        ("me@there", "me@there"),
    ],
)
def test_what_is_kept_has_no_user_and_is_otherwise_the_same(text: str, kept: str) -> None:
    assert strip_credentials(text) == kept


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pw@host/a.whl?X-Signature=abc#sha256=ab", "https://host/a.whl?...#sha256=ab"),
        ("https://me:what?#@host/a.whl", "https://host/a.whl"),
        (
            "failed: https://host/a?sig=1 and https://host/b?sig=2.",
            "failed: https://host/a?... and https://host/b?...",
        ),
    ],
)
def test_what_is_shown_has_no_signature_either(text: str, shown: str) -> None:
    assert redact(text) == shown
