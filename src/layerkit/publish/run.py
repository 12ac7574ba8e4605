"""A run of publishing: every layer to every place, then permissions, then functions.

First everything is looked at, which is all that a dry run does; then what is missing is sent. Places are
worked on side by side. Where AWS fails at a place, the rest of that place is left for the next run, and the
others go on. The rows say at any moment what is where.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from layerkit.errors import AwsError, LayerkitError, WheelError
from layerkit.publish.bucket import check_bucket
from layerkit.publish.calls import StoppedError
from layerkit.publish.crew import at_once
from layerkit.publish.functions import Attachment, Stacked, attach, configuration, planned
from layerkit.publish.grants import Grants, grant, missing
from layerkit.publish.record import FunctionRow, LayerRow
from layerkit.publish.versions import Look, goes_through_s3, look, publish
from layerkit.wheel import file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from layerkit.fetch.download import Progress
    from layerkit.publish.bucket import Bucket
    from layerkit.publish.names import NameForm
    from layerkit.publish.places import Place
    from layerkit.publish.wanted import LayerZip


class Stacks(Struct, frozen=True, kw_only=True):
    """What functions need to know of the builds: per target and stack its layers, and the sizes of code.

    `layers` is (target, stack) -> the project's names of the layers, the lowest first; `code` is
    CodeSha256 -> bytes that a function's own code unzips to.
    """

    layers: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    code: Mapping[str, int] = field(default_factory=dict)


class Order(Struct, frozen=True, kw_only=True):
    """What is to be done at every place. `functions` are (stack, function on AWS)."""

    zips: tuple[LayerZip, ...]
    form: NameForm
    bucket: Bucket | None = None
    grants: Grants = field(default_factory=Grants)
    functions: tuple[tuple[str, str], ...] = ()
    stacks: Stacks = field(default_factory=Stacks)
    drop_foreign: bool = False
    force: bool = False


class Run:
    """One run; `layers` and `functions` are its rows, by key, in order."""

    def __init__(self, order: Order, places: Sequence[Place], stop: threading.Event) -> None:
        """Begin with every row not tried. Raises UsageError for a zip that is too large to be sent."""
        self.order, self.places, self._stop = order, tuple(places), stop
        self._changed: Callable[[Run], None] = lambda _run: None
        self._lock = threading.RLock()
        self._sizes = dict(order.stacks.code)  # of code and layers, as far as they are known
        self._looks: dict[tuple[str, str, str], Look] = {}
        self.errors: list[LayerkitError] = []
        self.notes: list[str] = []
        self.layers = {row.key: row for place in places for row in map(self._row_at(place), order.zips)}
        self.functions = {
            row.key: row
            for place in places
            for stack, function in order.functions
            for row in [
                FunctionRow(account=place.account, region=place.region, stack=stack, function=function)
            ]
        }

    def _row_at(self, place: Place) -> Callable[[LayerZip], LayerRow]:
        def row(zip_: LayerZip) -> LayerRow:
            bucket = self.order.bucket
            in_s3 = goes_through_s3(zip_, bucket) and bucket is not None
            return LayerRow(
                account=place.account,
                region=place.region,
                layer=zip_.layer,
                name=zip_.name,
                targets=zip_.targets,
                sha256=zip_.sha256,
                zipped=zip_.zipped,
                unzipped=zip_.unzipped,
                through=f"s3://{bucket.at(place)}/{bucket.key(zip_.sha256)}"
                if in_s3 and bucket
                else "direct",
            )

        return row

    def rows(self) -> list[LayerRow | FunctionRow]:
        """Return all rows: the layers', then the functions'."""
        return [*self.layers.values(), *self.functions.values()]

    def look(self) -> None:
        """See what every place has and needs; change nothing there."""
        self.errors += at_once(self.places, self._look_at, self._stop)

    def prove(self) -> None:
        """Prove that the zips to publish are those that were built. Raises WheelError and StorageError."""
        sent = {row.name for row in self.layers.values() if row.status == "to-publish"}
        for zip_ in self.order.zips:
            if zip_.name in sent and file_sha256(zip_.path) != zip_.sha256:
                raise WheelError(
                    "the zip is not the one that was built", where=str(zip_.path), fix="run `layerkit build`"
                )

    def carry_out(self, progress: Progress, changed: Callable[[Run], None] = lambda _run: None) -> None:
        """Do what the look found to be missing; `changed` hears of every change of a row, and of the end."""
        self._changed = changed
        waiting = [row for row in self.layers.values() if row.status == "to-publish"]
        if waiting:
            progress.start(sum(row.zipped for row in waiting), len(waiting))
        try:
            self.errors += at_once(self.places, lambda place: self._work_at(place, progress), self._stop)
        finally:
            progress.done()
            with self._lock:
                for row in self.rows():
                    if row.status in {"to-publish", "to-update"}:
                        self._set(row.key, status="not-tried")
                changed(self)

    def _set(self, key: tuple[str, str, str], **changes: object) -> None:
        """Change a row, and tell."""
        with self._lock:
            if key in self.layers:
                self.layers[key] = replace(self.layers[key], **changes)
            else:
                self.functions[key] = replace(self.functions[key], **changes)
            self._changed(self)

    def _look_at(self, place: Place) -> None:
        if self.order.bucket is not None:
            check_bucket(self.order.bucket, place)
        for zip_ in self.order.zips:
            key = (place.account, place.region, zip_.name)
            with self._noting(key):
                found = self._looks[key] = look(place, zip_)
                same = found.same and not self.order.force
                number = found.newest.number if same and found.newest else 0
                wanted = [name for name, _ in self.order.grants.statements()]
                self._note_other_words(found, zip_, place)
                lacking = missing(place, zip_.name, number, self.order.grants) if same else tuple(wanted)
            self._set(
                key,
                status="unchanged" if same else "to-publish",
                arn=found.newest.arn if same and found.newest else None,
                version=number or None,
                granted=lacking,
            )
        for stack, function in self.order.functions:
            self._plan_function(place, stack, function)

    def _note_other_words(self, found: Look, zip_: LayerZip, place: Place) -> None:
        """Note a version that holds the zip and says other runtimes of it than a new one would."""
        if found.newest is None or not found.same or self.order.force:
            return
        said = {*found.newest.runtimes, *found.newest.architectures}
        if lacking := [word for word in (*zip_.runtimes, *zip_.architectures) if word not in said]:
            what = f"{place.key} {zip_.name}: the version that is there does not name {', '.join(lacking)}"
            self.notes.append(f"{what}; --force publishes one that does")

    @contextmanager
    def _noting(self, key: tuple[str, str, str]) -> Iterator[None]:
        """Run a block whose failure is written into a row."""
        try:
            yield
        except StoppedError as error:
            if self._row(key).status not in {"published", "unchanged"}:
                self._set(key, status="unknown" if error.perhaps_done else "not-tried")
            raise
        except LayerkitError as error:
            self._set(
                key, status="failed", error=f"{error.where}: {error.what}" if error.where else error.what
            )
            raise

    def _row(self, key: tuple[str, str, str]) -> LayerRow | FunctionRow:
        return self.layers[key] if key in self.layers else self.functions[key]

    def _plan_function(self, place: Place, stack: str, function: str) -> Attachment:
        """Note what a function shall have."""
        key = (place.account, place.region, function)
        with self._noting(key):
            found = configuration(place, function)
            target = f"{found.get('Runtime', '')}-{found.get('Architectures', ['x86_64'])[0]}"
            attachment = planned(
                place,
                found,
                self._stack(place, stack, target, function),
                self.order.form,
                sizes=self._sizes,
                drop_foreign=self.order.drop_foreign,
            )
        self._set(
            key,
            status="to-update" if attachment.changes else "unchanged",
            layers=attachment.after,
            foreign=attachment.foreign,
            unzipped=attachment.total,
        )
        return attachment

    def _stack(self, place: Place, stack: str, target: str, function: str) -> list[Stacked]:
        """Return a stack's layers for a function that runs on `target`. Raises AwsError."""
        names = self.order.stacks.layers.get((target, stack))
        where = f"{place.key} function {function}"
        if names is None:
            known = sorted({key for key, name in self.order.stacks.layers if name == stack})
            what = f"the function runs on {target}, and the stack {stack} was built for {', '.join(known)}"
            raise AwsError(what, where=where, fix="build and publish for the function's runtime")
        zips = {zip_.layer: zip_ for zip_ in self.order.zips if target in zip_.targets}
        return [
            Stacked(
                name=zips[name].name,
                arn=self.layers[place.account, place.region, zips[name].name].arn,
                unzipped=zips[name].unzipped,
            )
            for name in names
        ]

    def _work_at(self, place: Place, progress: Progress) -> None:
        here = (place.account, place.region)
        mine = [row for row in self.rows() if row.key[:2] == here]
        if any(row.status in {"failed", "not-tried"} for row in mine):
            return  # the look has failed here
        for zip_ in self.order.zips:
            self._publish(place, zip_, progress)
        for stack, function in self.order.functions:
            self._attach(place, stack, function)

    def _publish(self, place: Place, zip_: LayerZip, progress: Progress) -> None:
        """Have one layer at one place, and let others use it."""
        key = (place.account, place.region, zip_.name)
        row = self.layers[key]

        def sent(count: int) -> None:
            with self._lock:
                progress.advance(count)

        with self._noting(key):
            if row.status == "to-publish":
                self._set(key, status="unknown", granted=())
                made = publish(
                    place,
                    zip_,
                    bucket=self.order.bucket,
                    looked=self._looks[key],
                    force=self.order.force,
                    sent=sent,
                )
                row = replace(row, arn=made.version.arn, version=made.version.number)
                self._set(key, status="published", arn=row.arn, version=row.version)
            if row.granted:
                self._set(key, granted=())
                self._set(key, granted=grant(place, zip_.name, row.version or 0, self.order.grants))

    def _attach(self, place: Place, stack: str, function: str) -> None:
        """Give one function its layers."""
        key = (place.account, place.region, function)

        def again() -> Attachment:
            return self._plan_function(place, stack, function)

        attachment = again()
        with self._noting(key):
            attachment = attach(place, attachment, again=again)
        if attachment.changes:
            self._set(key, status="updated")
