from __future__ import annotations

import pytest

from layerkit.toml import TOMLDecodeError, parse


def test_a_document_is_read() -> None:
    assert parse("a = [1, 2]\n[b]\nc = 'd'") == {"a": [1, 2], "b": {"c": "d"}}


def test_what_is_no_toml_is_a_value_error_with_its_line() -> None:
    with pytest.raises(TOMLDecodeError, match="line 2"):
        parse("a = 1\nb = = 2")
    assert issubclass(TOMLDecodeError, ValueError)
