"""What the products weigh: bytes zipped and unzipped, and how many of them are bytecode."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from pathlib import Path

_LOCAL_AND_CENTRAL = 30 + 46  # what a member takes beside its bytes and its name, which stands there twice


class Weight(Struct, frozen=True, kw_only=True):
    """Bytes of the zips, of all that is in them, and of the bytecode among that in both ways."""

    zipped: int = 0
    unzipped: int = 0
    bytecode_zipped: int = 0
    bytecode_unzipped: int = 0

    def plain(self) -> Weight:
        """Return the weight without the bytecode."""
        zipped, unzipped = self.zipped - self.bytecode_zipped, self.unzipped - self.bytecode_unzipped
        return Weight(zipped=zipped, unzipped=unzipped)

    def __add__(self, other: Weight) -> Weight:
        """Return the weight of both together."""
        return Weight(
            zipped=self.zipped + other.zipped,
            unzipped=self.unzipped + other.unzipped,
            bytecode_zipped=self.bytecode_zipped + other.bytecode_zipped,
            bytecode_unzipped=self.bytecode_unzipped + other.bytecode_unzipped,
        )


def weigh(cwd: Path, product: str) -> Weight | None:
    """Return what the zips that match the glob weigh together; None where the product is no zip."""
    found = [_weigh(path) for path in sorted(cwd.glob(product)) if path.is_file()]
    return sum(found, Weight()) if found else None


def _weigh(path: Path) -> Weight:
    """Weigh one zip."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    bytecode = [member for member in members if member.filename.endswith(".pyc")]
    return Weight(
        zipped=path.stat().st_size,
        unzipped=sum(member.file_size for member in members),
        bytecode_zipped=sum(
            member.compress_size + _LOCAL_AND_CENTRAL + 2 * len(member.filename.encode())
            for member in bytecode
        ),
        bytecode_unzipped=sum(member.file_size for member in bytecode),
    )
