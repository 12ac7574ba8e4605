"""What is left out of a wheel: the table, a project's own rows, what stays, and the AWS services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerkit.errors import ConfigError
from layerkit.patterns import parse
from layerkit.project.specs import Slimming
from layerkit.slim import SERVICES, Rules, decide, rules, seen
from layerkit.slim.table import Row, table, text
from layerkit.toml import parse as parse_toml

if TYPE_CHECKING:
    from layerkit.slim.table import Kept

SITE = "python/lib/python3.12/site-packages"


def never(path: str) -> bytes:
    raise AssertionError(path)


def decided(these: Rules, package: str, sources: dict[str, str]) -> dict[str, str]:
    """Return what is left out, all paths relative to the folder of the modules."""
    paths = {f"{SITE}/{name}": text.encode() for name, text in sources.items()}
    found = decide(these, package, SITE, paths, paths.__getitem__)
    return {path.removeprefix(f"{SITE}/"): row for path, row in found.items()}


def test_paths_are_seen_alike_in_every_layout() -> None:
    assert seen(f"{SITE}/demo/a.h", SITE) == seen("python/demo/a.h", "python") == "demo/a.h"
    assert seen("bin/go", SITE) == seen("bin/go", "python") == "opt/bin/go"
    assert seen("python/lib/python3.11/x", SITE) == "opt/python/lib/python3.11/x"


def test_the_table_says_why_and_can_be_read() -> None:
    document = parse_toml(text())
    assert set(document) == {"rows", "keep"}
    assert [row.name for row in table().rows] == list(document["rows"])
    said: list[Row | Kept] = [*table().rows, *table().keep]
    for row in said:
        assert row.reason, row
        assert row.patterns, row
        assert not any(parse(one).negative for one in row.patterns), row
        assert row.source is None or "/" in row.source, row
    assert SERVICES not in document["rows"]


def test_the_first_row_that_fits_is_named() -> None:
    two = tuple(Row(name=name, patterns=("*.h",), reason="-") for name in ("one", "two"))
    assert Rules(rows=two).verdict("demo", "demo/a.h") == "one"
    assert Rules(rows=two).verdict("demo", "demo/a.py") is None


def test_a_folder_that_fits_brings_all_that_is_in_it_and_a_file_of_its_name_nothing() -> None:
    these = Rules(rows=(Row(name="row", patterns=("/*/**/tests/", "opt/bin/"), reason="-"),))
    fits = ["demo/tests/a/b.txt", "demo/in/tests/x.py", "opt/bin/go"]
    assert [these.verdict("demo", path) for path in fits] == ["row"] * 3
    stays = ["demo/tests", "tests/a.py", "demo/mytests/a.py", "demo/tests.py", "demo/opt/bin/go"]
    assert [these.verdict("demo", path) for path in stays] == [None] * 5


def test_what_stays_stays_in_its_own_package_alone() -> None:
    these = Rules(rows=(Row(name="h", patterns=("*.h",), reason="-"),), keep=(("demo", ("demo/inc/",)),))
    assert these.verdict("demo", "demo/inc/a.h") is None
    assert these.verdict("demo", "demo/a.h") == "h"
    assert these.verdict("other", "demo/inc/a.h") == "h"


def test_a_project_switches_rows_and_adds_its_own() -> None:
    plain = rules(Slimming(), None)
    names = [row.name for row in plain.rows]
    assert "headers" in names
    slim = Slimming(
        switched=(("headers", False),), rows=(("mine", ("*.txt",)),), keep=(("demo", ("k.txt",)),)
    )
    these = rules(slim, None)
    assert [row.name for row in these.rows] == [name for name in names if name != "headers"] + ["mine"]
    assert (these.verdict("demo", "a.txt"), these.verdict("demo", "k.txt")) == ("mine", None)
    assert rules(Slimming(enabled=False), None).rows == ()


def test_a_row_that_is_not_there_cannot_be_switched() -> None:
    with pytest.raises(ConfigError, match=r"no row 'header'.*did you mean 'headers'"):
        rules(Slimming(switched=(("header", False),)), None)


def test_the_digest_is_that_of_what_counts_for_a_package() -> None:
    row = Row(name="h", patterns=("*.h",), reason="-")
    plain = Rules(rows=(row,)).digest("demo")
    assert Rules(rows=(Row(name="h", patterns=("*.h",), reason="another"),)).digest("demo") == plain
    assert Rules(rows=(row,), keep=(("other", ("x",)),)).digest("demo") == plain
    assert Rules(rows=(row,), services=("s3",)).digest("demo") == plain
    different = {
        plain,
        Rules().digest("demo"),
        Rules(rows=(row,), keep=(("demo", ("x",)),)).digest("demo"),
        Rules(rows=(Row(name="h", patterns=("*.h",), reason="-", own=True),)).digest("demo"),
        Rules(rows=(row,), services=("s3",)).digest("botocore"),
        Rules(rows=(row,), services=("sqs",)).digest("botocore"),
    }
    assert len(different) == 6


TESTS = Rules(rows=(Row(name="tests", patterns=("/*/**/tests/",), reason="-"),))


@pytest.mark.parametrize(
    "statement",
    [
        "from demo.tests.helper import ready",
        "from demo.tests import helper",
        "from .tests import (  # a comment, with a comma\n    other,\n    helper as h,\n)",
        "from .tests \\\n    import \\\r\n    other, helper",
        "if True: from .tests import helper",
        "import os, demo.tests.helper as h",
        "try:\n    import demo.tests.helper\nexcept ImportError:\n    pass",
        "def run():\n    from . import tests; from .tests import helper",
        "PLUGIN = 'demo.tests.helper'",
        "from . tests import nothing\nimport demo.tests.helper\r\n",
    ],
)
def test_a_test_module_that_is_imported_stays_with_what_it_imports(statement: str) -> None:
    sources = {
        "demo/__init__.py": "",
        "demo/run.py": statement,
        "demo/tests/__init__.py": "from . import base\n",
        "demo/tests/base.py": "",
        "demo/tests/helper.py": "from ..tests.deep import thing\n",
        "demo/tests/deep/__init__.py": "",
        "demo/tests/deep/thing.so": "",
        "demo/tests/test_a.py": "from . import helper\nimport demo.tests.test_b\n",
        "demo/tests/test_b.py": "",
        "demo/tests/data.csv": "",
    }
    left = ["demo/tests/data.csv", "demo/tests/test_a.py", "demo/tests/test_b.py"]
    assert decided(TESTS, "demo", sources) == dict.fromkeys(left, "tests")


def test_what_nobody_imports_goes() -> None:
    sources = {
        "demo/__init__.py": "from .testing import x\nimport tests\nfrom other.tests import helper\n",
        "demo/testing.py": "",
        "demo/tests/__init__.py": "",
        "demo/tests/helper.py": "",
    }
    assert set(decided(TESTS, "demo", sources)) == {"demo/tests/__init__.py", "demo/tests/helper.py"}


def test_one_module_among_others_that_stay_is_found_by_its_own_name() -> None:
    these = Rules(rows=(Row(name="conf", patterns=("conftest.py",), reason="-"),))
    sources = {"demo/__init__.py": "", "demo/conftest.py": "", "demo/a/conftest.py": "", "demo/a/b.py": ""}
    assert set(decided(these, "demo", sources)) == {"demo/conftest.py", "demo/a/conftest.py"}
    sources["demo/a/b.py"] = "from . import conftest"
    assert set(decided(these, "demo", sources)) == {"demo/conftest.py"}


def test_a_row_of_the_project_means_what_it_says() -> None:
    these = Rules(rows=(Row(name="mine", patterns=("/demo/plots/",), reason="", own=True),))
    sources = {"demo/__init__.py": "from demo.plots import a", "demo/plots/a.py": ""}
    assert decided(these, "demo", sources) == {"demo/plots/a.py": "mine"}


def test_nothing_is_read_where_no_module_is_left_out() -> None:
    found = decide(rules(Slimming(), None), "demo", SITE, [f"{SITE}/demo/a.py", f"{SITE}/demo/a.h"], never)
    assert found == {f"{SITE}/demo/a.h": "headers"}


SDK = {
    "botocore/data/s3/2006-03-01/service-2.json.gz": "",
    "botocore/data/sqs/2012-11-05/service-2.json.gz": "",
    "botocore/data/ec2/2016-11-15/service-2.json.gz": "",
    "botocore/data/endpoints.json": "",
    "botocore/data/_retry.json": "",
    "botocore/client.py": "",
}


def test_the_sdk_keeps_the_services_that_are_named_and_what_is_common_to_all() -> None:
    left = decided(Rules(services=("s3", "sqs")), "botocore", SDK)
    assert left == {"botocore/data/ec2/2016-11-15/service-2.json.gz": SERVICES}
    resources = {"boto3/data/ec2/2016-11-15/resources-1.json": "", "boto3/data/s3/2006/resources-1.json": ""}
    assert set(decided(Rules(services=("s3",)), "boto3", resources)) == set(resources) - {
        "boto3/data/s3/2006/resources-1.json"
    }
    assert decided(Rules(services=("s3",)), "demo", SDK) == {}
    assert decided(Rules(), "botocore", SDK) == {}


def test_an_unknown_service_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"no service 's33'.*did you mean 's3'"):
        decided(Rules(services=("s33",)), "botocore", SDK)
