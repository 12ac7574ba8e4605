"""Where to publish: every account that was named, in every region, each with its clients."""

from __future__ import annotations

import re
import threading
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from layerkit import __version__
from layerkit.errors import UsageError
from layerkit.project.faults import nearest
from layerkit.publish.calls import Calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from botocore.config import Config
    from botocore.session import Session
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client

_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d+")
_CONNECT, _READ = 10, 120  # seconds; a publish answers when Lambda has unpacked the zip


class Place(Struct, frozen=True, kw_only=True):
    """One account and region: its clients, and how it is asked. `profile` is the one it was reached by."""

    account: str
    region: str
    profile: str | None
    role: str | None
    functions: LambdaClient
    open_objects: Callable[[], S3Client]
    calls: Calls

    @property
    def objects(self) -> S3Client:
        """Return the client of S3, which many runs never need."""
        return self.open_objects()

    @property
    def key(self) -> str:
        """Return how the place is shown."""
        return f"{self.account} {self.region}"


class Accounts(Struct, frozen=True, kw_only=True):
    """What was named to reach AWS by; empty means what botocore finds by itself."""

    profiles: Sequence[str] = ()
    roles: Sequence[str] = ()
    regions: Sequence[str] = ()
    stop: threading.Event = field(default_factory=threading.Event)


def open_places(accounts: Accounts) -> tuple[Place, ...]:
    """Return every account in every region, each pair once, after AWS said whose the credentials are.

    Profiles, roles and regions are combined, each with each. Raises AwsError and UsageError.
    """
    found: dict[tuple[str, str], Place] = {}
    for profile in accounts.profiles or (None,):
        for role in accounts.roles or (None,):
            for place in _places(profile, role, accounts):
                found.setdefault((place.account, place.region), place)
    return tuple(found.values())


def function_place(arn: str, region: str) -> Place:
    """Return the account and region that a Lambda function runs in, from its own ARN and environment.

    Its credentials are the role's, and nobody has to be asked whose they are.
    """
    import boto3

    account = (arn.split(":") + [""] * 5)[4] or "this account"
    clients = boto3.session.Session()
    return Place(
        account=account,
        region=region,
        profile=None,
        role=None,
        functions=clients.client("lambda", region, config=_config()),
        open_objects=cache(partial(clients.client, "s3", region, config=_config(uploads=True))),
        calls=Calls(where=f"{account} {region}"),
    )


def _places(profile: str | None, role: str | None, accounts: Accounts) -> Iterator[Place]:
    """Yield the places of one identity."""
    import boto3

    asking = Calls(where=f"profile {profile}" if profile else "the AWS credentials", stop=accounts.stop)
    source = asking.ask("sts:GetCallerIdentity", lambda: _session(profile))
    regions = accounts.regions or (asking.ask("sts:GetCallerIdentity", lambda: _default_region(source)),)
    for region in regions:
        _check_region(region, source)
    if role is not None:
        source = _assumed(source, role, regions[0])
        asking = Calls(where=f"role {role}", stop=accounts.stop)
    account = asking.ask("sts:GetCallerIdentity", lambda: _account(source, regions[0]))
    clients = boto3.session.Session(botocore_session=source)
    for region in regions:
        yield Place(
            account=account,
            region=region,
            profile=profile,
            role=role,
            functions=clients.client("lambda", region, config=_config()),
            open_objects=cache(partial(clients.client, "s3", region, config=_config(uploads=True))),
            calls=Calls(where=f"{account} {region}", stop=accounts.stop),
        )


def _session(profile: str | None) -> Session:
    """Return the session of a profile. Raises UsageError for one that is not configured."""
    from botocore.exceptions import ProfileNotFound
    from botocore.session import Session

    session = Session(profile=profile)
    try:
        session.get_scoped_config()
    except ProfileNotFound as error:
        known, name = session.available_profiles, str(error.kwargs["profile"])
        what = f"there is no AWS profile called {name!r}{nearest(name, known)}"
        raise UsageError(what, fix=f"known: {', '.join(known) or 'none'}") from None
    return session


def _default_region(session: Session) -> str:
    """Return the region that the environment or the profile names. Raises NoRegionError."""
    from botocore.exceptions import NoRegionError

    region: str | None = session.get_config_variable("region")
    if region is None:
        raise NoRegionError
    return region


def _account(session: Session, region: str) -> str:
    """Return whose the credentials are, which everybody may ask."""
    client: Any = session.create_client("sts", region, config=_config())
    account: str = client.get_caller_identity()["Account"]
    return account


def _check_region(region: str, session: Session) -> None:
    """Refuse what cannot be a region; one that this boto3 has not heard of may be newer than it."""
    if _REGION.fullmatch(region) is None:
        known = session.get_available_regions("lambda")
        what = f"{region!r} is no AWS region{nearest(region, known)}"
        raise UsageError(what, fix="name it as AWS does: eu-west-1")


def _assumed(source: Session, role: str, region: str) -> Session:
    """Return a session with the credentials of a role, renewed as they run out."""
    from botocore.credentials import (
        AssumeRoleCredentialFetcher,
        CredentialProvider,
        CredentialResolver,
        DeferredRefreshableCredentials,
    )
    from botocore.session import Session

    def client(service: str, **arguments: Any) -> Any:
        return source.create_client(service, **{"region_name": region, "config": _config(), **arguments})

    fetcher = AssumeRoleCredentialFetcher(
        client, source.get_credentials(), role, extra_args={"RoleSessionName": "layerkit"}
    )

    class Role(CredentialProvider):
        """Gives the credentials of the role, and no others."""

        METHOD = "assume-role"

        def load(self) -> DeferredRefreshableCredentials:
            return DeferredRefreshableCredentials(fetcher.fetch_credentials, self.METHOD)

    session = Session(profile=source.profile)
    session.register_component("credential_provider", CredentialResolver([Role()]))
    return session


def _config(*, uploads: bool = False) -> Config:
    """Return how a client connects.

    Uploads are left to botocore's standard attempts, for the same bytes under the same key may be sent any
    number of times; all other requests have ours.
    """
    from botocore.config import Config

    return Config(
        connect_timeout=_CONNECT,
        read_timeout=_READ,
        retries={"mode": "standard", "total_max_attempts": 5 if uploads else 1},
        user_agent_extra=f"layerkit/{__version__}",
    )
