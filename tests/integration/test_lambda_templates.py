"""What deploys the functions of lambda/: cfn-lint takes the template, and both files name what is built.

`make deployments` lets SAM and Serverless themselves judge and pack all of it.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerkit.project import load
from tools import CFN_LINT, tool

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

LAMBDA = Path(__file__).parents[2] / "lambda"
FILES = ("template.yaml", "serverless.yml")


def test_the_template_passes_cfn_lint(tmp_path: Path) -> None:
    shutil.copy(LAMBDA / "template.yaml", tmp_path)
    done = tool(CFN_LINT, "cfn-lint", "--", "template.yaml", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    text = (tmp_path / "template.yaml").read_text()
    (tmp_path / "wrong.yaml").write_text(text.replace("Timeout: 180", "Timeout: soon"))
    assert tool(CFN_LINT, "cfn-lint", "--", "wrong.yaml", folder=tmp_path).returncode != 0


@pytest.mark.parametrize("name", FILES)
def test_the_files_name_the_zips_that_a_build_writes_and_handlers_that_are_there(name: str) -> None:
    project = load(LAMBDA)
    text = (LAMBDA / name).read_text()
    built = [
        f"py312-{project.name}-{project.version}-{one.name}-code.zip" for one in project.functions if one.code
    ]
    assert sorted(re.findall(r"\.\./dist/layers/python3\.12-x86_64/(\S+)", text)) == sorted(built)
    handlers = re.findall(r"[Hh]andler: (\S+)\.handler\n", text)
    folders = [one.code for one in project.functions if one.code]
    assert len(handlers) == len(built)
    for handler in handlers:
        assert any((folder / f"{handler.replace('.', '/')}.py").is_file() for folder in folders), handler


@pytest.mark.parametrize("name", FILES)
def test_the_files_ask_the_export_for_the_layers_of_each_function(name: str) -> None:
    asked = sorted(_asked((LAMBDA / name).read_text()))
    assert asked == ["model-api", "parquet", "series"]


def _asked(text: str) -> Iterator[str]:
    yield from re.findall(r"\$\{file\(layers-serverless\.yml\):functions\.([\w-]+)\}", text)
    outputs = {"ModelApiStackArns": "model-api", "ParquetStackArns": "parquet", "SeriesStackArns": "series"}
    yield from (outputs[name] for name in re.findall(r"!GetAtt Layers\.Outputs\.(\w+)", text))
