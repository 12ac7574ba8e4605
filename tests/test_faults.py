from __future__ import annotations

import pytest

from layerkit.errors import ConfigError
from layerkit.project.faults import Faults, has_credentials, nearest, redact


def test_no_fault_is_no_error() -> None:
    Faults().check()


def test_one_fault_is_raised_as_it_is() -> None:
    faults = Faults()
    faults.add("here", "this is wrong", fix="mend it")
    with pytest.raises(ConfigError) as caught:
        faults.check()
    assert (caught.value.where, caught.value.what, caught.value.fix) == ("here", "this is wrong", "mend it")


def test_several_are_one_error_in_their_order_each_once() -> None:
    faults = Faults()
    faults.add("b", "second", fix="mend it")
    faults.add("a", "first")
    faults.take(ConfigError("first", where="a"))
    with pytest.raises(ConfigError) as caught:
        faults.check()
    expected = "2 faults in the project's files:\n  b: second\n    mend it\n  a: first"
    assert str(caught.value) == expected


def test_the_nearest_word_is_named_if_there_is_one() -> None:
    assert nearest("numpi", ["numpy", "scipy"]) == " (did you mean 'numpy'?)"
    assert nearest("x", ["numpy"]) == ""


def test_credentials_are_seen_and_hidden() -> None:
    assert redact("a https://me:pw@host/x@1 b") == "a https://****@host/x@1 b"
    assert has_credentials("--index-url https://t0k@host")
    assert not has_credentials("https://host/x@1")
    assert redact("git+ssh://git@host/x") == "git+ssh://****@host/x"
