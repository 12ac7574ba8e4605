"""The shell of action.yml and of GitLab's jobs, run as it stands: build, compare, publish, keep."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml  # type: ignore[import-untyped]

from factory import make_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aws import Cloud
    from loopback import Loopback

ROOT = Path(__file__).parent.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
GITLAB = yaml.safe_load((ROOT / ".gitlab" / "layerkit.yml").read_text())
PYPROJECT = """
[project]
name = "shop"
version = "1.0"
dependencies = ["quick"]

[tool.layerkit]
runtimes = ["python3.12"]
sdk-version = "1.42.0"
"""
# Stands for GitHub's program: releases are folders.
GH = """#!/bin/sh
[ "$1" = release ] || exit 1
case $2 in
download) mkdir -p "$6" && cp "$RELEASES/latest/$4" "$6/" 2>/dev/null ;;
view) [ -d "$RELEASES/$3" ] ;;
create) mkdir -p "$RELEASES/$3" ;;
upload) tag=$3; shift 3; for one; do [ "$one" = --clobber ] || cp "$one" "$RELEASES/$tag/"; done ;;
esac
"""


class Job:
    """A job of GitHub Actions on this machine: its folders, and the steps that were run in it."""

    def __init__(self, folder: Path) -> None:
        """Make the folders and files that a runner has."""
        self.folder = folder
        self.temp, self.releases = folder / "temp", folder / "releases"
        self.github = {
            "action_path": str(ROOT),
            "token": "t",
            "repository": "a/b",
            "event_name": "push",
            "ref_type": "branch",
            "ref_name": "main",
        }
        for one in (self.temp, self.releases, folder / "bin"):
            one.mkdir(parents=True)
        gh = folder / "bin" / "gh"
        gh.write_text(GH)
        gh.chmod(0o755)

    def file(self, name: str) -> str:
        """Return what steps wrote into a file of the runner."""
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def run(self, **inputs: str) -> subprocess.CompletedProcess[str]:
        """Run the steps of the action that have shell in them, and stop where one fails."""
        given = {name: self._default(about) for name, about in ACTION["inputs"].items()} | inputs
        done = subprocess.CompletedProcess([], 0, "", "")
        for step in ACTION["runs"]["steps"]:
            if "run" not in step or not self._wanted(step.get("if"), given):
                continue
            done = self._step(step["run"], {k: self._value(v, given) for k, v in step.get("env", {}).items()})
            if done.returncode:
                break
        return done

    def _step(self, script: str, own: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        paths = [*reversed(self.file("GITHUB_PATH").split()), str(self.folder / "bin"), os.environ["PATH"]]
        files = {
            name: str(self.folder / name) for name in ("GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")
        }
        environment = {
            **os.environ,
            **files,
            **own,
            "PATH": os.pathsep.join(paths),
            "RUNNER_TEMP": str(self.temp),
            "RELEASES": str(self.releases),
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.folder),
        }
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]  # as runners do
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )

    def _value(self, text: str, inputs: Mapping[str, str]) -> str:
        """Return a value of `env` with its expressions worked out."""

        def known(found: re.Match[str]) -> str:
            kind, _, name = found[1].partition(".")
            return {"inputs": inputs, "github": self.github, "runner": {"temp": str(self.temp)}}[kind][name]

        return re.sub(r"\$\{\{ ([\w.-]+) \}\}", known, text)

    def _default(self, about: Mapping[str, str]) -> str:
        """Return what an input is where nobody gives it: a text, or whether this is a pull request."""
        text = about.get("default", "")
        if text != "${{ startsWith(github.event_name, 'pull_request') }}":
            assert "${{" not in text
            return text
        return str(self.github["event_name"].startswith("pull_request")).lower()

    def _wanted(self, condition: str | None, inputs: Mapping[str, str]) -> bool:
        """Work out an `if`: equalities joined by `&&`, and nothing else."""
        for part in (condition or "").split(" && ") if condition else ():
            name, _, value = part.partition(" == ")
            if self._value(f"${{{{ {name} }}}}", inputs) != value.strip("'"):
                return False
        return True


@pytest.fixture
def job(tmp_path: Path, index: Loopback, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    """Give a job whose repository holds a small project; layerkit is installed already."""
    make_wheel(wheels, "boto3", "1.42.0", requires=["botocore==1.42.0"])
    make_wheel(wheels, "botocore", "1.42.0")
    make_wheel(wheels, "quick", "1.0", tag="py3-none-manylinux2014_x86_64")
    assert index.names()
    one = Job(tmp_path / "repository")
    (one.folder / "pyproject.toml").write_text(PYPROJECT)
    monkeypatch.setenv("NO_COLOR", "1")
    installed = one.temp / "layerkit" / "bin"
    installed.mkdir(parents=True)
    (installed / "layerkit").symlink_to(Path(sys.executable).parent / "layerkit")
    yield one
    shutil.rmtree(one.temp, ignore_errors=True)


def test_steps_take_what_users_say_from_variables_alone() -> None:
    """What is put into a script by an expression would be run by the shell."""
    scripts = [step["run"] for step in ACTION["runs"]["steps"] if "run" in step]
    assert scripts
    assert not [script for script in scripts if "${{" in script]


def test_the_matrix_is_an_output(job: Job) -> None:
    assert job.run(do="matrix", runtime="py312 py313", arch="arm64").returncode == 0
    name, _, value = job.file("GITHUB_OUTPUT").partition("=")
    assert name == "matrix"
    assert [one["name"] for one in json.loads(value)["include"]] == ["py312-arm64", "py313-arm64"]


def test_layers_are_built_checked_and_summed_up(job: Job) -> None:
    done = job.run(runtime="python3.12", arch="x86_64")
    assert (done.returncode, done.stderr) == (0, done.stderr)
    zips = job.file("GITHUB_OUTPUT").splitlines()
    assert zips[0] == "zips<<LAYERKIT"
    assert zips[-1] == "LAYERKIT"
    assert [Path(one).is_file() for one in zips[1:-1]] == [True]
    summary = job.file("GITHUB_STEP_SUMMARY")
    assert "### shop 1.0: python3.12 x86_64" in summary
    assert "No release has a manifest for python3.12-x86_64 to compare with." in summary


def test_changes_are_held_against_the_last_release(job: Job, wheels: Path) -> None:
    assert job.run().returncode == 0
    (manifest,) = (job.folder / "dist" / "layers" / "python3.12-x86_64").glob("*.json")
    (job.releases / "latest").mkdir()
    shutil.copy(manifest, job.releases / "latest" / "python3.12-x86_64.json")
    make_wheel(wheels, "quick", "2.0", tag="py3-none-manylinux2014_x86_64")
    (job.folder / "pyproject.toml").write_text(PYPROJECT.replace('"quick"', '"quick>=2"'))
    done = job.run()
    assert (done.returncode, done.stderr) == (0, done.stderr)
    assert re.search(r"\| quick \| changed \| 1\.0 .*\| 2\.0 ", job.file("GITHUB_STEP_SUMMARY"))


def objects(cloud: Cloud) -> set[str]:
    """Return the kinds of objects in the shared store."""
    found = cloud.client("s3", "us-east-1").list_objects_v2(Bucket="shared").get("Contents", ())
    return {one["Key"].partition("/")[0] for one in found}


@pytest.mark.parametrize("event", ["push", "pull_request_target"])
def test_jobs_share_a_store_that_pull_requests_only_read(job: Job, cloud: Cloud, event: str) -> None:
    cloud.client("s3", "us-east-1").create_bucket(Bucket="shared")
    job.github["event_name"] = event
    done = job.run(store="s3://shared")
    assert (done.returncode, done.stderr) == (0, done.stderr)
    assert ({"prepared", "tails", "layers"} <= objects(cloud)) == (event == "push")
    assert cloud.asked("GetObject")
    assert bool(objects(cloud)) == (event == "push")


def test_gitlabs_jobs_share_a_store_that_protected_refs_alone_write(job: Job, cloud: Cloud) -> None:
    cloud.client("s3", "us-east-1").create_bucket(Bucket="shared")
    build = {"RUNTIME": "python3.12", "ARCH": "x86_64", "LAYERKIT_STORE": "s3://shared"}
    for protected in ("false", "true"):
        shutil.rmtree(job.folder / ".layerkit-store", ignore_errors=True)
        shutil.rmtree(job.folder / "dist", ignore_errors=True)
        done = gitlab(job, ".layerkit", **build, CI_COMMIT_REF_PROTECTED=protected)
        assert (done.returncode, done.stderr) == (0, done.stderr)
        assert bool(objects(cloud)) == (protected == "true")


def test_a_failure_is_marked_at_its_file(job: Job) -> None:
    (job.folder / "pyproject.toml").write_text(PYPROJECT + "nonsense = 1\n")
    done = job.run()
    assert done.returncode == 3
    assert "::error file=pyproject.toml,title=layerkit%3A ConfigError::" in done.stderr
    assert "zips" not in job.file("GITHUB_OUTPUT")


def test_what_was_built_is_published_and_its_manifest_kept(job: Job, cloud: Cloud) -> None:
    assert job.run().returncode == 0
    job.github |= {"ref_type": "tag", "ref_name": "v1"}
    done = job.run(do="publish", options="--region eu-west-1")
    assert (done.returncode, done.stderr) == (0, done.stderr)
    assert cloud.asked("PublishLayerVersion") == 1
    assert "arn:aws:lambda:eu-west-1:" in job.file("GITHUB_STEP_SUMMARY")
    assert [one.name for one in (job.releases / "v1").iterdir()] == ["python3.12-x86_64.json"]


def script(name: str, pipeline: Mapping[str, Any] = GITLAB) -> list[str]:
    """Return what a job of GitLab's runs after layerkit was installed."""
    found: list[str] = pipeline[name]["script"]
    return found


def gitlab(job: Job, name: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a job of GitLab's as its runners do: one shell for all lines."""
    variables = {key: str(value) for key, value in GITLAB["variables"].items()}
    variables |= {key: str(value) for key, value in GITLAB[name].get("variables", {}).items()}
    own = {"CI_PROJECT_DIR": str(job.folder), **more}
    for key, value in variables.items():
        own[key] = re.sub(r"\$(\w+)", lambda found: own.get(found[1], found[0]), value)
    path = f"{job.temp}/layerkit/bin{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "-eo", "pipefail", "-c", "\n".join(script(name))]
    environment = {**os.environ, **own, "PATH": path}
    return subprocess.run(
        command, cwd=job.folder, env=environment, capture_output=True, text=True, check=False
    )


def test_gitlabs_matrix_is_a_pipeline_of_known_jobs(job: Job) -> None:
    done = gitlab(job, "layerkit:matrix")
    assert (done.returncode, done.stderr) == (0, "")
    child = json.loads((job.folder / "layerkit-pipeline.yml").read_text())
    assert child["layers"]["parallel"]["matrix"] == [{"RUNTIME": "python3.12", "ARCH": "x86_64"}]
    assert {child[name]["extends"] for name in ("layers", "publish")} <= GITLAB.keys()
    assert (ROOT / child["include"][0]["local"].lstrip("/")).is_file()


def test_gitlabs_jobs_build_publish_and_compare(job: Job, cloud: Cloud) -> None:
    build = {"RUNTIME": "python3.12", "ARCH": "x86_64"}
    done = gitlab(job, ".layerkit", **build)
    assert (done.returncode, done.stderr) == (0, done.stderr)
    assert "### shop 1.0: python3.12 x86_64" in done.stdout
    done = gitlab(job, ".layerkit-publish", AWS_TOKEN="t")  # noqa: S106 - of no account
    assert (done.returncode, done.stderr) == (0, done.stderr)
    assert cloud.asked("PublishLayerVersion") == 1
    assert (job.folder / ".layerkit-released" / "python3.12-x86_64.json").is_file()
    assert "the same 1 package" in gitlab(job, ".layerkit", **build).stdout


@pytest.mark.integration
def test_layerkit_is_installed_from_where_the_action_lies(job: Job) -> None:
    shutil.rmtree(job.temp / "layerkit")
    assert job.run(do="matrix", python=sys.executable).returncode == 0
    assert job.file("GITHUB_PATH").split() == [str(job.temp / "layerkit" / "bin")]
    assert not (job.temp / "layerkit" / "bin" / "layerkit").is_symlink()
