"""Who else may use a version of a layer: accounts, organizations, or everybody.

A statement's name says what it allows, so a version that has it already is left as it is.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from layerkit.errors import UsageError
from layerkit.project.publishing import ACCOUNT, ORGANIZATION
from layerkit.publish.calls import RefusedError
from layerkit.publish.faults import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerkit.publish.places import Place

_ACTION = "lambda:GetLayerVersion"
_CONFLICT = frozenset({"ResourceConflictException"})


class Grants(Struct, frozen=True, kw_only=True):
    """Whom a version is shared with, beside its own account."""

    accounts: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()
    public: bool = False

    def __bool__(self) -> bool:
        """Say whether it is shared at all."""
        return bool(self.accounts or self.organizations or self.public)

    def check(self) -> None:
        """Raise UsageError for what cannot be an account or an organization."""
        for account in self.accounts:
            if ACCOUNT.fullmatch(account) is None:
                raise UsageError(f"{account!r} is no AWS account", fix="an account has 12 digits")
        for organization in self.organizations:
            if ORGANIZATION.fullmatch(organization) is None:
                what = f"{organization!r} is no AWS organization"
                raise UsageError(what, fix="it begins with o-, such as o-a1b2c3d4e5")

    def statements(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the name of each statement, and what it says."""
        for account in self.accounts:
            yield f"layerkit-account-{account}", {"Principal": account}
        for organization in self.organizations:
            yield f"layerkit-{organization}", {"Principal": "*", "OrganizationId": organization}
        if self.public:
            yield "layerkit-public", {"Principal": "*"}


def missing(place: Place, name: str, number: int, grants: Grants) -> tuple[str, ...]:
    """Return the statements that a version does not have yet."""
    if not grants:
        return ()
    have = {statement.get("Sid") for statement in policy(place, name, number)}
    return tuple(statement for statement, _ in grants.statements() if statement not in have)


def grant(place: Place, name: str, number: int, grants: Grants) -> tuple[str, ...]:
    """Let a version be used as `grants` says; return the statements that were added."""
    wanted = missing(place, name, number, grants)
    for statement, said in grants.statements():
        if statement in wanted:
            request = partial(
                place.functions.add_layer_version_permission,
                LayerName=name,
                VersionNumber=number,
                StatementId=statement,
                Action=_ACTION,
                **said,
            )
            try:
                action, where = "lambda:AddLayerVersionPermission", f"{place.key} {name}:{number}"
                place.calls.ask(action, request, where=where, hear=_CONFLICT)
            except RefusedError:
                continue  # it came to be there meanwhile, perhaps by an attempt whose answer was lost
    return wanted


def policy(place: Place, name: str, number: int) -> list[dict[str, Any]]:
    """Return the statements of a version's policy, none where it has none."""
    request = partial(place.functions.get_layer_version_policy, LayerName=name, VersionNumber=number)
    try:
        action, where = "lambda:GetLayerVersionPolicy", f"{place.key} {name}:{number}"
        found = place.calls.ask(action, request, where=where, hear=MISSING)
    except RefusedError:
        return []
    statements: list[dict[str, Any]] = json.loads(found["Policy"])["Statement"]
    return statements
