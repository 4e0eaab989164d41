"""Converts errors of S3 and obstore into this package's errors."""

from __future__ import annotations

from fruitscale.errors import (
    ArchivedObjectError,
    ChangedObjectError,
    DeniedObjectError,
    MissingObjectError,
    StorageError,
)
from fruitscale.storage import aws, credentials, obstore_internals


class UnlistableKeyError(StorageError):
    """A listing reached a key that obstore refuses: with empty or dot segments, or control characters.

    `after` is the last name listed before it, or None.
    """

    def __init__(self, uri: str, after: str | None = None) -> None:
        super().__init__(f"{uri} has keys that obstore can't list.")
        self.args, self.after = (uri, after), after  # pickle calls __init__ with args


def as_storage_error(what: str, participle: str, error: Exception) -> StorageError:
    """Convert obstore's exception into our own."""
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    if obstore_internals.is_missing_bucket(error):
        return StorageError(f"{what} can't be {participle}: there is no such bucket.", "Check the URI.")
    if obstore_internals.is_unaddressable(error):
        return UnlistableKeyError(what)
    if isinstance(error, FileNotFoundError):
        return MissingObjectError(f"{what} does not exist.")
    if isinstance(error, (PreconditionError, AlreadyExistsError)):
        return ChangedObjectError(f"{what} changed since it was listed.")
    if obstore_internals.is_archived(error) or obstore_internals.is_denied(error):
        return _as_denial(what, participle, error)
    problem, hint = obstore_internals.summary(error), "Check the network and storage.endpoint"
    if obstore_internals.is_redirected(error):
        problem = "the store redirected the request to another host, which is not followed."
        hint = "Check storage.endpoint and storage.region, and that no sign-in page of the network answers instead"
    if "ExpiredToken" in problem:
        problem, hint = "the AWS credentials have expired.", "Log in again (as in: aws sso login)"
    return StorageError(
        f"{what} can't be {participle}: {problem}", f"{hint}; then run the same command again: it resumes."
    )


def _as_denial(what: str, participle: str, error: Exception) -> StorageError:
    if obstore_internals.is_archived(error):
        return ArchivedObjectError(f"{what} is archived.", "Restore it, then run the same command again.")
    if obstore_internals.is_skewed(error):
        return StorageError(f"{what} can't be {participle}: {aws.SKEWED}.", aws.SKEW_HINT)
    credentials.provide()  # raises the true reason if there are no credentials
    return DeniedObjectError(
        f"{what} can't be {participle}: access is denied.", "Check the credentials and their policy."
    )
