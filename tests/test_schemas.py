from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import jsonschema
import pytest
from msgspec.structs import replace

import small
from layerkit import errors, image_facts, report, target
from layerkit.archive import ArchiveError, Problem
from layerkit.built import Built
from layerkit.check import check_plan
from layerkit.check.findings import CODES, finding
from layerkit.cli import run
from layerkit.engines import Use
from layerkit.invoke.function import Outcome
from layerkit.layer.manifest import Manifest
from layerkit.report.matrix import include
from layerkit.schemas import names, schema
from layerkit.store import Store
from layerkit.tree import tree_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USE = Use(asked="auto", used="wheels", reason="nothing here needs Docker")
COMMANDS = (
    "build",
    "cache",
    "check",
    "diff",
    "error",
    "export",
    "invoke",
    "list",
    "lock",
    "matrix",
    "plan",
    "prune",
    "publish",
    "runtimes",
    "sbom",
    "tree",
)
FILES = ("manifest", "published", "references")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> small.Small:
    return small.build(tmp_path_factory.mktemp("schemas") / "here")


def check(name: str, document: dict[str, Any]) -> dict[str, Any]:
    """Validate what a command prints, after the journey through JSON; return it."""
    printed: dict[str, Any] = json.loads(json.dumps({"schema": f"layerkit/{name}/1", **document}))
    validator = jsonschema.Draft202012Validator(schema(name), format_checker=jsonschema.FormatChecker())
    assert [f"{list(fault.path)}: {fault.message}" for fault in validator.iter_errors(printed)] == []
    return printed


def refused(name: str, document: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema": f"layerkit/{name}/1", **document}, schema(name))


def subschemas(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "properties" in value and isinstance(value.get("type"), str):
            yield value
        for inner in value.values():
            yield from subschemas(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from subschemas(inner)


def test_there_is_one_for_every_command_and_for_the_files_that_stay() -> None:
    assert names() == tuple(sorted((*COMMANDS, *FILES)))
    with pytest.raises(KeyError):
        schema("../manifest")


@pytest.mark.parametrize("name", [*COMMANDS, *FILES])
def test_each_is_a_schema_that_lets_nothing_unknown_pass(name: str) -> None:
    found = schema(name)
    jsonschema.Draft202012Validator.check_schema(found)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found["$id"] == f"urn:layerkit:schema:{name}:1"
    assert found["properties"]["schema"]["const"] == f"layerkit/{name}/1"
    for inner in subschemas(found):
        assert inner["additionalProperties"] is False, inner
        assert set(inner["required"]) <= set(inner["properties"]), inner


@pytest.mark.parametrize("name", [*COMMANDS, *FILES])
def test_each_refers_to_all_of_its_definitions_and_to_no_other(name: str) -> None:
    found = schema(name)
    text = json.dumps(found)
    for definition in found["$defs"]:
        assert f'"#/$defs/{definition}"' in text
    for reference in text.split('"$ref": "')[1:]:
        assert reference.partition('"')[0].removeprefix("#/$defs/") in found["$defs"]


def test_manifest_and_its_values_have_the_same_fields() -> None:
    found = schema("manifest")
    compared: list[Any] = []

    def resolved(described: dict[str, Any]) -> dict[str, Any]:
        """Follow references, into the items of a list and into the form beside null."""
        if "$ref" in described:
            return resolved(found["$defs"][described["$ref"].rpartition("/")[2]])
        if "oneOf" in described:
            return resolved(described["oneOf"][0])
        return resolved(described["items"]) if "items" in described else described

    def compare(kind: Any, described: dict[str, Any]) -> None:
        kind = next((one for one in (kind, *get_args(kind)) if hasattr(one, "__struct_fields__")), None)
        if kind is None:
            return
        described = resolved(described)
        fields = set(kind.__struct_fields__)
        assert fields == set(described["properties"]) == set(described["required"]), kind
        compared.append(kind)
        for name, hint in get_type_hints(kind).items():
            compare(hint, described["properties"][name])

    compare(Manifest, found)
    assert len(set(compared)) == 20


def test_manifest_of_a_build(built: small.Small) -> None:
    printed = json.loads(built.manifest.text())
    jsonschema.validate(printed, schema("manifest"))
    for change in ({"schema": "layerkit/manifest/2"}, {"layout": "odd"}, {"extra": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(printed | change, schema("manifest"))


@pytest.mark.parametrize("unchanged", [True, False])
def test_build(built: small.Small, *, unchanged: bool) -> None:
    one = Built(manifest=built.manifest, path=built.output / "m.json", unchanged=unchanged, engine=USE)
    check("build", {"targets": [one.as_json()]})
    check("build", {"targets": []})
    refused("build", {"targets": [one.as_json() | {"target": "py312"}]})


def test_lock(built: small.Small) -> None:
    check("lock", {"targets": [report.lock_json(built.lock, USE.as_json())]})


def test_matrix() -> None:
    printed = check("matrix", include([small.TARGET]))
    refused("matrix", printed | {"include": []})


def test_plan(built: small.Small) -> None:
    printed = check("plan", {"targets": [built.plan.as_json()]})
    assert printed["targets"][0]["why"]["jinja2"] == ["flask", "jinja2"]


def test_check(built: small.Small) -> None:
    whole = check_plan(built.plan, built.lock)
    assert check("check", {"targets": [{"stack": "api", **whole.as_json()}]})["targets"][0]["passed"]
    every = tuple(finding(code, "here", "text", "fix") for code in CODES)
    full = check("check", {"targets": [{"stack": "api", **replace(whole, findings=every).as_json()}]})
    assert not full["targets"][0]["passed"]


def test_tree(built: small.Small, tmp_path: Path) -> None:
    from layerkit.lock import write

    lock = write(tmp_path / "pylock.toml", built.lock.target, built.lock.packages, built.lock.sdk, "", ())
    sizes = {"flask": 100}
    down = tree_of(lock, sizes, {"flask": "requirements.txt:1"}, None)
    up = tree_of(lock, sizes, {}, "six")
    printed = check("tree", {"targets": [down, up]})
    assert printed["targets"][1]["tree"][0]["dependencies"][0]["package"] == "flask"


def test_invoke() -> None:
    went = Outcome(request="1", payload=b'{"a": 1}', seconds=0.01, memory=None, init=0.2, log="START")
    failed = Outcome(request="2", payload=b"null", seconds=3, memory=1, error="E", status="timeout")
    how = {"target": "python3.12-x86_64", "function": "f", "isolation": "none", "lacks": "much"}
    check("invoke", {**how, "results": [went.as_json("event.json"), failed.as_json("stdin")]})
    refused("invoke", {**how, "isolation": "some", "results": []})


def test_runtimes() -> None:
    read = image_facts.ImageFacts(
        image="lambda/python:3.12",
        digest="sha256:" + "0" * 64,
        seen="2026-11-21",
        python="3.12.99",
        glibc="2.34",
        packages=(("boto3", "9.9.9"),),
        libraries=("libz.so.1",),
    )
    check("runtimes", target.facts() | {"seen": {}})
    check("runtimes", target.facts() | {"seen": {"python3.12-arm64": read.as_json()}})


def test_error() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type)
        and issubclass(kind, errors.LayerkitError)
        and kind is not errors.LayerkitError
    ]
    assert len({kind.exit_code for kind in kinds}) == len(kinds) == 13
    for kind in kinds:
        check("error", kind("it broke").as_json())
        check("error", kind("it broke", where="here", fix="mend it").as_json())
    problems = [
        Problem(case="name-twice", text="is there twice", member="a"),
        Problem(case="odd", text="is odd"),
    ]
    check("error", ArchiveError("a.whl", problems).as_json())
    refused("error", errors.UsageError("it broke").as_json() | {"traceback": "..."})


@pytest.mark.parametrize(
    "command", [["dir"], ["size"], ["prune", "--max-size", "1GB"], ["clean"]], ids=lambda words: words[0]
)
def test_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path))
    with Store(tmp_path).publish("wheels", "0" * 64, ".whl") as path:
        path.write_bytes(b"wheel")
    assert run(["cache", *command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert check("cache", printed) == printed


def test_failing_command_prints_an_error_and_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["cache", "prune", "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert check("error", printed) == printed
    assert printed["exit_code"] == code == 2
