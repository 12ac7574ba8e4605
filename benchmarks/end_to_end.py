"""The functions of lambda/, from wheels to answers: `make e2e`.

For every runtime with an interpreter here, or those that are named: `layerkit build` makes the layers, they
are published to moto's server, `layerkit invoke` starts each function on them, and real requests go through.
The model is trained on the layers themselves, so that it has their versions. At the end, when nothing else
runs, the start of each function on our layers is timed beside the same on layers of the same versions that
pip and zip made.

    python benchmarks/end_to_end.py [RUNTIME]... [--newest] [--ratio RUNTIME] [--runs N] [--jobs N]
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from front import event
from msgspec import Struct

from aws import REGION, Cloud
from layerkit.invoke.layout import key
from layerkit.store import Store
from layerkit.target import limit, runtimes, target
from real import glibc, here, interpreter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
LAMBDA = ROOT / "lambda"
FLOWER = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
MODEL, PARQUET = "model_api.handler.handler", "parquet_summary.handler.handler"
FUNCTIONS = {"model-api": ("model_api", MODEL), "parquet": ("parquet", PARQUET)}
SERIES = "nearest_series.handler.handler"
_DATA, _LAYERS = "e2e-data", "e2e-layers"
_PATH = "/api/models/iris_model"
_EVEN = 1_767_225_600  # 2026-01-01, in seconds: zips keep even ones alone
# Runs on the layers of the model service: what it writes has the versions that will read it.
_TRAINER = """
import base64, io, joblib, train
from pathlib import Path
from sklearn.datasets import load_iris

def handler(event, context):
    path = Path("/tmp/iris.joblib")
    train.train(path)
    features = io.BytesIO()
    joblib.dump(load_iris().data, features)
    return [base64.b64encode(part).decode() for part in (path.read_bytes(), features.getvalue())]
"""


class WrongError(Exception):
    """Something came out otherwise than it must."""


def expect(*, true: bool, what: str, found: object) -> None:
    """Raise WrongError unless it is so."""
    if not true:
        raise WrongError(f"{what}: {found!r}"[:2000])


def say(text: str) -> None:
    """Talk on stderr: stdout is for the figures."""
    print(text, file=sys.stderr, flush=True)


def layerkit(*words: str) -> Any:
    """Run a command of layerkit and return its document; a function may fail, the command may not."""
    done = subprocess.run(
        [sys.executable, "-m", "layerkit", *words, "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 13):
        raise WrongError(f"layerkit {words[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


class Place(Struct, frozen=True, kw_only=True):
    """A runtime's functions: where their layers lie, and what they are told of AWS."""

    runtime: str
    folder: Path
    layers: Mapping[str, Sequence[Path]]
    packages: Mapping[str, Sequence[str]]
    variables: Mapping[str, str]

    def invoke(
        self,
        layers: Sequence[Path],
        code: Path,
        handler: str,
        events: Sequence[object],
        variables: Mapping[str, str] | None = None,
    ) -> list[dict[str, Any]]:
        """Send events to one environment of a function; return what came of each."""
        words = ["-r", self.runtime, "--code", str(code), "--handler", handler]
        words += ["--memory", "2048", "--timeout", "60"]
        for number, one in enumerate(events):
            path = self.folder / f"event{number}.json"
            path.write_text(json.dumps(one))
            words += ["--event", str(path)]
        for name, value in {**self.variables, **(variables or {})}.items():
            words += ["--env", f"{name}={value}"]
        results: list[dict[str, Any]] = layerkit("invoke", *map(str, layers), *words)["results"]
        return results


def prepare(runtime: str, folder: Path, cloud: Cloud) -> Place:
    """Build the layers of a runtime and publish them."""
    out = folder / "out"
    shared = ("--project", str(LAMBDA), "-r", runtime, "-a", here() or "x86_64", "-o", str(out), "-q")
    (built,) = layerkit("build", *(str(LAMBDA), *shared[2:]))["targets"]
    manifest = json.loads(Path(built["manifest"]).read_text())
    through = ("--region", REGION, "--s3-bucket", _LAYERS, "--record", str(folder / "record.json"), "-y")
    layerkit("publish", *shared, *through)
    digests = {layer["name"]: layer["zip"]["code_sha256"] for layer in manifest["layers"]}
    check_published(cloud, digests)
    zips = {
        layer["name"]: Path(built["manifest"]).parent / layer["zip"]["file"] for layer in manifest["layers"]
    }
    packages = {
        stack["name"]: [
            f"{package['name']}=={package['version']}"
            for layer in manifest["layers"]
            if layer["name"] in stack["layers"]
            for package in layer["packages"]
        ]
        for stack in manifest["stacks"]
    }
    stacks = {stack["name"]: [zips[name] for name in stack["layers"]] for stack in manifest["stacks"]}
    variables = {
        "AWS_ENDPOINT_URL": cloud.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }
    return Place(runtime=runtime, folder=folder, layers=stacks, packages=packages, variables=variables)


def check_published(cloud: Cloud, digests: Mapping[str, str]) -> None:
    """Look whether Lambda has every layer as it was built; moto keeps their digests, not their bytes."""
    client = cloud.client("lambda")
    versions = [
        client.get_layer_version(
            LayerName=one["LayerName"], VersionNumber=one["LatestMatchingVersion"]["Version"]
        )
        for one in client.get_paginator("list_layers").paginate().build_full_result()["Layers"]
    ]
    there = {one["Content"]["CodeSha256"] for one in versions}
    expect(true=set(digests.values()) <= there, what="layers published as built", found=versions)


def train(place: Place, cloud: Cloud) -> dict[str, str]:
    """Train the model on its layers, upload it and features; return the service's variables."""
    code = place.folder / "trainer"
    code.mkdir()
    (code / "train.py").write_text((LAMBDA / "model_api" / "train.py").read_text())
    (code / "app.py").write_text(_TRAINER)
    layers = place.layers["model-api"]
    first, second = (place.invoke(layers, code, "app.handler", [{}])[0]["payload"] for _ in range(2))
    expect(true=first == second, what="trained twice, the same bytes", found=len(first))
    model, features = map(base64.b64decode, first)
    s3 = cloud.client("s3")
    prefix = place.runtime
    s3.put_object(Bucket=_DATA, Key=f"{prefix}/iris.joblib", Body=model)
    s3.put_object(Bucket=_DATA, Key=f"{prefix}/features.joblib", Body=features)
    where = {"bucket": _DATA, "key": f"{prefix}/iris.joblib", "sha256": hashlib.sha256(model).hexdigest()}
    return {"MODEL_FILES": json.dumps({"iris_model": where}), "FEATURES_BUCKET": _DATA}


def serve(place: Place, cloud: Cloud) -> dict[str, str]:
    """Send requests to the model service, over HTTP and in a batch of SQS with one bad record.

    Returns the variables that the service was given.
    """
    sqs = cloud.client("sqs")
    asked = sqs.create_queue(QueueName=f"{place.runtime.replace('.', '')}-asked")["QueueUrl"]
    results = sqs.create_queue(QueueName=f"{place.runtime.replace('.', '')}-results")["QueueUrl"]
    variables = {**train(place, cloud), "RESULTS_QUEUE_URL": results}
    batch = {"bucket": _DATA, "key": f"{place.runtime}/features.joblib"}
    wrong = {**FLOWER, "petal_width": "wide"}
    requests: list[tuple[str, str, str, Any]] = [
        ("http", "GET", "/api/models", None),
        ("rest", "GET", f"{_PATH}/metadata", None),
        ("http", "POST", f"{_PATH}/predict", FLOWER),
        ("url", "POST", f"{_PATH}/batch", batch),
        ("rest", "POST", f"{_PATH}/predict", wrong),
    ]
    events: list[object] = [
        event(kind, method, path, {}, json.dumps(body).encode() if body else b"")
        for kind, method, path, body in requests
    ]
    events.append(queued(sqs, asked))
    found = place.invoke(place.layers["model-api"], LAMBDA / "model_api" / "src", MODEL, events, variables)
    expect(true=all(one["status"] == "success" for one in found), what="all are answered", found=found)
    answers = [one["payload"] for one in found]
    listed, described, predicted, many, refused = (json.loads(one["body"]) for one in answers[:5])
    expect(true=[one["statusCode"] for one in answers[:5]] == [200] * 4 + [400], what="status", found=answers)
    expect(true=listed["models"][0]["qualified_name"] == "iris_model", what="list", found=listed)
    expect(true="petal_width" in described["input_schema"]["properties"], what="metadata", found=described)
    expect(true=predicted == {"species": "setosa"}, what="predict", found=predicted)
    expect(true=len(many["predictions"]) == 150, what="batch", found=many)
    expect(true=refused["type"] == "SCHEMA_ERROR", what="a wrong body", found=refused)
    failed = [one["itemIdentifier"] for one in answers[5]["batchItemFailures"]]
    (bad,) = (one["messageId"] for one in events[5]["Records"] if "no json" in one["body"])  # type: ignore[index]
    expect(true=failed == [bad], what="the bad record alone comes again", found=answers[5])
    sent = sqs.receive_message(QueueUrl=results, MaxNumberOfMessages=10).get("Messages", [])
    expect(true=len(sent) == 2, what="results of the others", found=sent)
    return variables


def queued(sqs: Any, queue: str) -> dict[str, Any]:
    """Send three messages, one of them no JSON, and return them as Lambda hands them to a function."""
    good = json.dumps({"model": "iris_model", "observation": FLOWER})
    for body in (good, "no json", good):
        sqs.send_message(QueueUrl=queue, MessageBody=body)
    taken = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    records = [
        {
            "messageId": one["MessageId"],
            "receiptHandle": one["ReceiptHandle"],
            "body": one["Body"],
            "attributes": {},
            "messageAttributes": {},
            "md5OfBody": one["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:{REGION}:123456789012:asked",
            "awsRegion": REGION,
        }
        for one in taken
    ]
    return {"Records": records}


def read(place: Place, cloud: Cloud) -> None:
    """Ask the reader of Parquet for the summary of an object, and for one that is not there."""
    import fastparquet
    import numpy as np
    import pandas as pd

    path = place.folder / "table.parquet"
    fastparquet.write(str(path), pd.DataFrame({"a": np.arange(1000.0), "b": ["x", "y"] * 500}), [0, 400])
    cloud.client("s3").upload_file(str(path), _DATA, "table.parquet")
    events = [{"bucket": _DATA, "key": key} for key in ("table.parquet", "absent.parquet")]
    found, absent = place.invoke(place.layers["parquet"], LAMBDA / "parquet" / "src", PARQUET, events)
    summed = found["payload"]
    expect(true=found["status"] == "success", what="parquet", found=found)
    expect(true=(summed["rows"], summed["row_groups"]) == (1000, 2), what="rows", found=summed)
    expect(true=summed["columns"]["a"]["mean"] == 499.5, what="mean", found=summed)
    expect(true=absent["error_type"] == "NotFoundError", what="an absent object", found=absent)


def match(place: Place) -> None:
    """Ask which series is nearest, and see that what numba compiled says what Python says."""
    import numpy as np
    from nearest_series.warping import distance

    chance = np.random.default_rng(11)
    series = np.sin(np.linspace(0, 6, 60))
    known = {"same": np.repeat(series, 2), "noise": chance.normal(size=80), "flat": np.zeros(50)}
    event = {"series": series.tolist(), "known": {name: one.tolist() for name, one in known.items()}}
    found, refused = place.invoke(
        place.layers["series"], LAMBDA / "series" / "src", SERIES, [{**event, "window": 70}, {"series": []}]
    )
    wanted = {name: distance(series, one, 70) for name, one in known.items()}
    answer = found["payload"]
    expect(true=found["status"] == "success" and answer["nearest"] == "same", what="series", found=found)
    same = np.allclose([answer["distances"][name] for name in wanted], list(wanted.values()))
    expect(true=same, what="the distances that Python finds", found=answer)
    expect(true=refused["error_type"] == "ValueError", what="half an event", found=refused)


def by_pip(place: Place, stack: str, *, bytecode: bool) -> Path:
    """Return a layer of the same versions as people make it: pip install -t, and a zip of that.

    With `bytecode` it holds what pip compiles, and dates that keep it valid on Lambda: the best that can be
    had that way. Without, it is what most guides make: no bytecode, or such as no longer fits its source.
    """
    made = place.folder / f"pip-{stack}"
    python = str(interpreter(target(place.runtime).minor))
    if not made.exists():
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command = [*pip, "--no-compile", "-t", str(made / "python"), *sorted(set(place.packages[stack]))]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for path in made.rglob("*"):
            os.utime(path, (_EVEN, _EVEN))
    if bytecode:
        subprocess.run([python, "-m", "compileall", "-q", str(made)], check=False, stdout=subprocess.DEVNULL)
    goal = place.folder / f"pip-{stack}-{bytecode}.zip"
    with zipfile.ZipFile(goal, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(made.rglob("*")):
            if path.is_file():
                info = zipfile.ZipInfo(path.relative_to(made).as_posix(), time.gmtime(_EVEN)[:6])
                info.external_attr = 0o100644 << 16
                # Quickly: what a start takes begins when the zip has been unpacked.
                archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=1)
    return goal


def forget(every: Iterable[Sequence[Path]]) -> None:
    """Remove what `layerkit invoke` keeps unpacked of layers: half a gigabyte for each runtime."""
    for layers in every:
        shutil.rmtree(Store.default().root / "unpacked" / key(layers), ignore_errors=True)


def unzipped(layers: Sequence[Path]) -> int:
    """Return the bytes that layers unzip to."""
    return sum(one.file_size for path in layers for one in zipfile.ZipFile(path).infolist())


def by_others(place: Place) -> dict[str, dict[str, Sequence[Path]]]:
    """Return the layers of each function in every way that they are made."""
    return {
        stack: {
            "layerkit": place.layers[stack],
            "pip install -t and zip": [by_pip(place, stack, bytecode=False)],
            "the same with valid bytecode": [by_pip(place, stack, bytecode=True)],
        }
        for stack in FUNCTIONS
    }


def compare(
    place: Place, runs: int, variables: Mapping[str, str], made: Mapping[str, Mapping[str, Sequence[Path]]]
) -> list[str]:
    """Return lines for each function: its start on our layers beside the same on those of pip and zip."""
    lines = []
    for stack, (folder, handler) in FUNCTIONS.items():
        ways = made[stack]
        sizes = {way: unzipped(layers) for way, layers in ways.items()}
        fit = [way for way, size in sizes.items() if size < limit("unzipped_bytes")]
        seconds: dict[str, list[float]] = {way: [] for way in fit}
        for _ in range(runs):
            for way in fit:
                (found,) = place.invoke(ways[way], LAMBDA / folder / "src", handler, [{}], variables)
                # A start above ten seconds is begun again on the handler's time, as on Lambda.
                seconds[way].append((found["init_ms"] or found["duration_ms"]) / 1000)
        base = statistics.median(seconds["layerkit"])
        for way, size in sizes.items():
            line = f"{place.runtime} {stack}, cold start, {way}: "
            if way in seconds:
                middle = statistics.median(seconds[way])
                line += f"{middle:.2f} s, {middle / base:.2f} times ours; "
            else:
                line += "does not fit; "
            lines.append(f"{line}{size / 1e6:.0f} MB unzipped")
    return lines


def usable(names: Sequence[str]) -> list[str]:
    """Return the runtimes that are named, else all that this machine has an interpreter for."""
    chosen = names or [name for name in runtimes() if target(name).minor not in ("3.6", "3.15")]
    found = [name for name in chosen if interpreter(target(name).minor) and glibc() >= target(name).glibc]
    expect(true=bool(found), what="a runtime with an interpreter here", found=chosen)
    return [target(name).runtime for name in found]


class Proven(Struct, frozen=True, kw_only=True):
    """A runtime whose functions did all that they must; `made` are the layers to be compared, if any."""

    place: Place
    variables: Mapping[str, str]
    made: Mapping[str, Mapping[str, Sequence[Path]]]


def prove(runtime: str, folder: Path, cloud: Cloud, *, compared: bool) -> Proven:
    """Run the functions of a runtime, and say so in one line."""
    began = time.monotonic()
    folder.mkdir()
    try:
        place = prepare(runtime, folder, cloud)
        variables = serve(place, cloud)
        read(place, cloud)
        match(place)
        made = by_others(place) if compared else {}
    except WrongError as error:
        raise WrongError(f"{runtime}: {error}") from error
    print(f"{runtime}: list, metadata, predict, batch, SQS, Parquet, series: all as expected", flush=True)
    say(f"{runtime}: {time.monotonic() - began:.0f} s")
    if not compared:
        forget(place.layers.values())
        shutil.rmtree(folder)
    return Proven(place=place, variables=variables, made=made)


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runtimes", nargs="*", metavar="RUNTIME")
    parser.add_argument("--ratio", help="the runtime whose starts are compared; the newest by default")
    parser.add_argument("--runs", type=int, default=3, help="starts of each way; 0 to compare nothing")
    parser.add_argument("--newest", action="store_true", help="the newest runtime alone")
    parser.add_argument("--jobs", type=int, default=2, help="runtimes at a time; starts are timed alone")
    return parser.parse_args()


def main() -> None:
    """Run all of it, and print the figures."""
    asked = arguments()
    chosen = usable(asked.runtimes)[-1 if asked.newest else 0 :]
    ratio = target(asked.ratio).runtime if asked.ratio else chosen[-1]
    expect(true=ratio in chosen, what=f"{ratio} is not among the runtimes", found=chosen)
    with tempfile.TemporaryDirectory(prefix="layerkit-e2e-") as name, Cloud.start() as cloud:
        os.environ.update({"AWS_ENDPOINT_URL": cloud.url, "AWS_DEFAULT_REGION": REGION})
        os.environ.update({"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"})
        where = {"LocationConstraint": REGION}
        for bucket in (_DATA, _LAYERS):
            cloud.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
        for service in ("lambda", "sqs"):
            cloud.client(service)  # made here: boto3 makes no two at a time
        with ThreadPoolExecutor(asked.jobs) as pool:
            # The one that is compared takes longest, so it goes first.
            begun = [
                pool.submit(prove, one, Path(name, one), cloud, compared=bool(asked.runs) and one == ratio)
                for one in sorted(chosen, key=ratio.__ne__)
            ]
        first, *_ = [one.result() for one in begun]
        if asked.runs:
            print(*compare(first.place, asked.runs, first.variables, first.made), sep="\n", flush=True)
            forget(layers for ways in first.made.values() for layers in ways.values())


if __name__ == "__main__":
    main()
