"""[tool.layerkit.publish]: where the project's layers go, under which names, and who may use them.

The keys are those of `layerkit publish`, whose options come before them. What a template may say is for
the module that fills it in.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, field

from layerkit.project.tables import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerkit.project.faults import Faults

__all__ = ["ACCOUNT", "KEYS", "ORGANIZATION", "PublishTable", "StorageMode", "read"]

StorageMode = Literal["copy", "reference"]
KEYS = (
    "name", "description", "licence", "regions", "profiles", "role-arns", "s3-bucket", "s3-prefix",
    "s3-storage", "accounts", "organizations", "public", "functions",
)  # fmt: skip
ACCOUNT = re.compile(r"\d{12}")
ORGANIZATION = re.compile(r"o-[a-z0-9]{10,32}")


class PublishTable(Struct, frozen=True, kw_only=True):
    """The table as written; None and empty where a key is absent. `functions` is stack -> function on AWS."""

    name: str | None = None
    description: str | None = None
    licence: str | None = None
    regions: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    role_arns: tuple[str, ...] = ()
    s3_bucket: str | None = None
    s3_prefix: str | None = None
    s3_storage: StorageMode | None = None
    accounts: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()
    public: bool = False
    functions: Mapping[str, str] = field(default_factory=dict)


def read(value: Any, path: str, faults: Faults) -> PublishTable:
    """Return the table at `path`; what is wrong in it is noted as faults."""
    keys = Table(value, path, faults, KEYS)
    return PublishTable(
        name=keys.string("name"),
        description=keys.string("description"),
        licence=keys.string("licence"),
        regions=_texts(keys, "regions"),
        profiles=_texts(keys, "profiles"),
        role_arns=_texts(keys, "role-arns"),
        s3_bucket=keys.string("s3-bucket"),
        s3_prefix=keys.string("s3-prefix"),
        s3_storage=keys.choice("s3-storage", ("copy", "reference")),
        accounts=_texts(keys, "accounts", ACCOUNT, "the 12 digits of an account, as a string"),
        organizations=_texts(keys, "organizations", ORGANIZATION, "an organization such as o-a1b2c3d4e5"),
        public=keys.flag("public"),
        functions=_functions(keys),
    )


def _texts(table: Table, key: str, form: re.Pattern[str] | None = None, words: str = "") -> tuple[str, ...]:
    """Return a list of strings, each once, that have a certain form."""
    found = []
    for path, text in table.strings(key) or ():
        if form is None or form.fullmatch(text):
            found.append(text)
        else:
            table.faults.add(path, f"{text!r} is not {words}")
    return tuple(dict.fromkeys(found))


def _functions(table: Table) -> dict[str, str]:
    """Return the function on AWS that gets each stack."""
    found = {}
    for stack, path, value in table.tables("functions"):
        if isinstance(value, str) and value:
            found[stack] = value
        else:
            table.faults.add(path, f"{value!r} is not the name of a function on AWS")
    return found
