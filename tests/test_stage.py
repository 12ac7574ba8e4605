"""What the look inside an image answers, read as strictly as a file; what a function's environment is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from layerkit.container.stage import MIB, Imported, Limits, environment, read_answers
from layerkit.errors import EngineError
from layerkit.target import target

ABOUT = {"about": {"python": "3.12.9", "glibc": "2.34", "machine": "x86_64"}}
PIP = {"pip": {"module": "pip", "ok": True, "code": 0, "version": "24.0", "seconds": 0.1}}
END: dict[str, Any] = {"end": {}}


def _said(*documents: dict[str, Any]) -> str:
    return "".join(f"{json.dumps(one)}\n" for one in documents)


def test_answers_are_read_in_name_order_without_credentials() -> None:
    bad = {"module": "b", "ok": False, "seconds": 1, "error": "E: https://user:secret@host/x", "signal": None}
    good = {"module": "a", "ok": True, "seconds": 0.5}
    seen = read_answers(_said(ABOUT, PIP, {"import": bad}, {"import": good}, END), "image")
    assert (seen.python, seen.glibc, seen.pip, seen.pip_code, seen.path_error) == (
        "3.12.9",
        "2.34",
        "24.0",
        0,
        None,
    )
    first, second = seen.imports
    assert first == Imported(module="a", ok=True, seconds=0.5)
    assert "secret" not in (second.error or "")
    assert second.error


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Fatal Python error: init_sys_streams\n",
        _said(ABOUT, PIP),
        _said(PIP, END),
        _said(ABOUT, {"import": {"ok": True}}, END),
        _said(ABOUT, {"import": {"module": "a", "ok": True, "seconds": "soon"}}, END),
        "[]\n",
        '{"a": 1, "b": 2}\n',
    ],
)
def test_an_answer_that_breaks_off_or_is_forged_is_an_error(said: str) -> None:
    with pytest.raises(EngineError, match="the check inside the image broke off"):
        read_answers(said, "image")


def test_true_is_nothing_but_true() -> None:
    forged = {"module": "a", "ok": "yes", "seconds": 0}
    assert read_answers(_said(ABOUT, {"import": forged}, END), "image").imports[0].ok is False


def test_the_environment_is_lambdas() -> None:
    found = environment(target("python3.9"), Limits(memory=1024 * MIB))
    assert found["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.9"
    assert found["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "1024"
    assert found["LD_LIBRARY_PATH"].endswith(":/opt/lib")
    assert not any("KEY" in name or "TOKEN" in name for name in found)
