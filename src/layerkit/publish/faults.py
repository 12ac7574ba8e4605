"""What AWS or the way to it answered, as one clear error: what, where, what to do, and whether to go on.

Messages of AWS are shown where they say more than we can; keys and tokens never are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from layerkit.errors import AwsError
from layerkit.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b|(?<=[Tt]oken[=:])\S+")
_IN_S3 = re.compile(r"S3 Error Code: (\w+)")
_LONGEST = 400
_TOO_MANY, _SERVER = 429, 500
THROTTLED = frozenset({
    "TooManyRequestsException", "Throttling", "ThrottlingException", "ThrottledException", "SlowDown",
    "RequestThrottled", "RequestThrottledException", "RequestLimitExceeded", "BandwidthLimitExceeded",
    "LimitExceededException", "PriorRequestNotComplete", "TransactionInProgressException",
})  # fmt: skip
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403", "Forbidden"})
MISSING = frozenset({"ResourceNotFoundException", "NoSuchKey", "NotFound", "404"})
_SIGN_IN = "sign in again (`aws sso login`), or renew the keys and the token in the environment or profile"
_FULL = "take old versions away (`layerkit prune`), or have AWS raise the limit; trying again will not help"
_BUCKET = "the bucket has to lie in the region that publishes from it: {region} stands for it in --s3-bucket"
# Error code -> what it means, and what to do; AWS uses several names for one thing.
_KNOWN = {
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"),
        ("the credentials have expired", _SIGN_IN),
    ),
    **dict.fromkeys(
        ("InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "InvalidToken"),
        ("AWS does not know these credentials", "look at the keys of the profile, or choose one: --profile"),
    ),
    **dict.fromkeys(
        ("SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature"),
        ("the request's signature is wrong", "look at the secret key and at this machine's clock"),
    ),
    "RequestTimeTooSkewed": ("this machine's clock is wrong", "set it"),
    "OptInRequired": ("the account has not opened this region", "open it in the account's settings"),
    "CodeStorageExceededException": ("the code storage of this account and region is full", _FULL),
    "NoSuchBucket": ("there is no such bucket", "make it in this region, or name another: --s3-bucket"),
    **dict.fromkeys(
        ("PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"),
        ("the bucket lies in another region", _BUCKET),
    ),
}
_CREDENTIALS = (
    "give some: `aws configure`, `aws sso login`, AWS_PROFILE or --profile, or the keys of a role in CI"
)


class Fault(Struct, frozen=True, kw_only=True):
    """An error, and what a caller may do about it.

    `passing`: another attempt may mend it. `perhaps_done`: the request may have been carried out all the
    same. `wait`: the seconds that AWS asked for. `code` is AWS's own word, empty where it never answered.
    """

    error: AwsError
    code: str = ""
    passing: bool = False
    perhaps_done: bool = False
    wait: float | None = None


def fault(error: Exception, action: str, where: str) -> Fault:
    """Return what an exception of botocore means; `action` is what IAM calls the request."""
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        return _answered(error.response, action, where)
    return _unanswered(error, action, where)


def clean(text: str) -> str:
    """Return a message of AWS as it may be shown: no keys, no tokens, no signatures, and not for ever."""
    text = _KEYS.sub("...", redact(" ".join(text.split())))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _answered(response: Mapping[str, Any], action: str, where: str) -> Fault:
    """Return what an error that AWS answered with means."""
    said, metadata = response.get("Error", {}), response.get("ResponseMetadata", {})
    code, message = str(said.get("Code", "")), clean(str(said.get("Message", "")))
    status = int(metadata.get("HTTPStatusCode", 0))
    if found := _IN_S3.search(message):
        code = found[1]  # of the object that Lambda was to read
    if code in _KNOWN:
        what, fix = _KNOWN[code]
        return Fault(error=AwsError(what, where=where, fix=fix), code=code)
    if code in DENIED:
        what = f"access denied for {action}" + (f": {message}" if " " in message else "")
        fix = f"have {action} allowed for these credentials, or choose others: --profile, --role-arn"
        return Fault(error=AwsError(what, where=where, fix=fix), code=code)
    throttled = code in THROTTLED or status == _TOO_MANY
    broken = status >= _SERVER and not throttled
    words = "AWS throttles" if throttled else "AWS has a fault of its own at" if broken else "AWS refused"
    what = f"{words} {action}: {message or code or status}"
    later = "try again later" if throttled or broken else None
    return Fault(
        error=AwsError(what, where=where, fix=later),
        code=code,
        passing=throttled or broken,
        perhaps_done=broken,
        wait=_asked(response, metadata) if throttled or broken else None,
    )


def _asked(response: Mapping[str, Any], metadata: Mapping[str, Any]) -> float | None:
    """Return the seconds to wait that an answer names, in its body or as Retry-After."""
    asked = response.get("retryAfterSeconds") or metadata.get("HTTPHeaders", {}).get("retry-after") or ""
    return float(asked) if re.fullmatch(r"\d+(\.\d+)?", str(asked)) else None


def _unanswered(error: Exception, action: str, where: str) -> Fault:
    """Return what an error that botocore raised by itself means."""
    from botocore import exceptions as known

    credentials = (
        known.NoCredentialsError, known.PartialCredentialsError, known.CredentialRetrievalError,
        known.NoAuthTokenError,
    )  # fmt: skip
    sign_in = (known.SSOError, known.TokenRetrievalError, known.RefreshWithMFAUnsupportedError)
    if isinstance(error, credentials):
        complete = isinstance(error, known.NoCredentialsError)
        what = "there are no AWS credentials" if complete else f"no AWS credentials: {clean(str(error))}"
        return Fault(error=AwsError(what, where=where, fix=_CREDENTIALS))
    if isinstance(error, sign_in):
        return Fault(error=AwsError(f"no credentials: {clean(str(error))}", where=where, fix=_SIGN_IN))
    if isinstance(error, (known.NoRegionError, known.InvalidRegionError)):
        what, fix = "nothing says which region", "name it: --region, AWS_REGION, or the profile's region"
        if isinstance(error, known.InvalidRegionError):
            what = clean(str(error))
        return Fault(error=AwsError(what, where=where, fix=fix))
    return _unreached(error, action, where)


def _unreached(error: Exception, action: str, where: str) -> Fault:
    """Return what a connection that failed or broke means, and any other error as botocore words it."""
    from botocore import exceptions as known
    from botocore.parsers import ResponseParserError

    said = clean(str(error))
    if isinstance(error, known.SSLError):
        what = f"no TLS connection for {action}: {said}"
        return Fault(error=AwsError(what, where=where, fix="AWS_CA_BUNDLE may name the certificates"))
    if isinstance(error, (known.EndpointConnectionError, known.ProxyConnectionError)):
        fix = "look at the network, its proxy, and the name of the region"
        return Fault(error=AwsError(f"AWS cannot be reached: {said}", where=where, fix=fix), passing=True)
    broken = (
        known.ConnectionError, known.HTTPClientError, known.IncompleteReadError, known.ChecksumError,
        ResponseParserError,
    )  # fmt: skip
    if not isinstance(error, broken):
        return Fault(error=AwsError(said, where=where))
    return Fault(
        error=AwsError(
            f"no answer to {action}: {said}", where=where, fix="try again: what was done is found"
        ),
        passing=True,
        perhaps_done=not isinstance(error, known.ConnectTimeoutError),
    )
