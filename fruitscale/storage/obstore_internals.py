"""Everything fruitscale relies on that obstore does not promise: its errors' texts, how it lists keys, what it follows.

obstore maps S3's answers to few exception classes, so some causes are known by the error's text alone.
tests/s3/test_obstore_internals.py and test_answers.py check each of these against obstore and a real server, and name
what an upgrade changed.
"""

from __future__ import annotations

import re
import urllib.request
from datetime import timedelta
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_STATUS = re.compile(r"status code: (\d{3})")
_REFUSED = re.compile(r"(?:^|/)\.{0,2}(?:/|\Z)|[\x00-\x1f\x7f]")
_DENIED_INSIDE_200 = "(code: AccessDenied)"
EARLY = timedelta(minutes=5)
"""How long before their expiry obstore requests credentials again."""
NOWHERE = "127.0.0.1:0"
"""A proxy that nobody can run: no process listens on port 0."""
_DEBUG = "\n\nDebug source"


class HasNameAndSize(Protocol):
    """An object of a listing; `size` is in bytes."""

    @property
    def name(self) -> str:
        """Return the key below the prefix."""
        ...

    @property
    def size(self) -> int:
        """Return the length of the content."""
        ...


E = TypeVar("E", bound=HasNameAndSize)


def is_transient(error: BaseException) -> bool:
    """Return whether a retry may help: no connection, a broken one, a timeout, a busy server.

    obstore raises GenericError for these, for a denied listing and for a denied DeleteObjects alike. Without a status
    code in its text there was no answer.
    """
    from obstore.exceptions import GenericError

    if not isinstance(error, GenericError) or _DENIED_INSIDE_200 in str(error):
        return False
    if is_redirected(error):
        return False
    status = _status(error)
    return status is None or status in TRANSIENT_STATUS


def is_denied(error: BaseException) -> bool:
    """Return whether S3 denied a request.

    A denied listing has no class of its own, only its status code. A denied deletion is worse: S3 answers
    DeleteObjects with 200 and the code inside, which obstore copies into the text.
    """
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
        return True
    return _DENIED_INSIDE_200 in str(error) or _status(error) in (401, 403)


def is_archived(error: BaseException) -> bool:
    """Return whether an object can't be read because it is archived: S3 answers 403 with this code."""
    return "InvalidObjectState" in str(error)


def is_timeout(error: BaseException) -> bool:
    """Return whether a request got no answer in time, though the server took the connection."""
    text = str(error).lower()
    return _status(error) is None and ("timed out" in text or "timeout" in text)


def same_host_only(endpoint: str) -> dict[str, str]:
    """Return client options with which a redirect to another host fails instead of being followed.

    obstore has no option for that, and would send the session's token along: so all hosts but the endpoint's are behind a
    proxy that does not exist. If the environment prescribes a proxy for the endpoint, that is used, and redirects are followed
    through it: a client has one proxy for all hosts, so others can't be excluded.
    """
    url = urlsplit(endpoint)
    host, proxies = url.hostname or "", urllib.request.getproxies()
    if (proxies.get(url.scheme) or proxies.get("all")) and not urllib.request.proxy_bypass(host):
        return {}
    return {"proxy_url": f"http://{NOWHERE}", "proxy_excludes": host}


def is_redirected(error: BaseException) -> bool:
    """Return whether the store redirected the request to another host, or anywhere with a body."""
    return NOWHERE in str(error) or (_status(error) or 0) // 100 == 3


def is_expired(error: BaseException) -> bool:
    """Return whether S3 may have refused expired credentials: with 400 and a code; a response to HEAD has no code."""
    text = str(error)
    return "ExpiredToken" in text or (_status(error) == 400 and "performing HEAD" in text)


def is_skewed(error: BaseException) -> bool:
    """Return whether S3 refused a request for its time: like any refusal, it is a denial with a code in the text."""
    return "RequestTimeTooSkewed" in str(error)


def is_missing_bucket(error: BaseException) -> bool:
    """Return whether the bucket does not exist: obstore raises what it raises for a missing object."""
    return "NoSuchBucket" in str(error)


def is_unaddressable(error: BaseException) -> bool:
    """Return whether a key has a segment that obstore refuses: it raises GenericError, for a single key in a page."""
    return "invalid path" in str(error)


def refusal(status: int, code: str) -> Exception:
    """Return what obstore would raise for an error that S3 answered to a request of boto3's."""
    from obstore.exceptions import GenericError

    return GenericError(f"the store answered {code or 'an error'}, status code: {status:03d}")


def no_answer(reason: str) -> Exception:
    """Return what obstore would raise for a request of boto3's that got no answer."""
    from obstore.exceptions import GenericError

    return GenericError(reason)


def summary(error: BaseException) -> str:
    """Return the first line of an error, without obstore's dump of its source; it never holds a credential."""
    lines = str(error).split(_DEBUG, 1)[0].splitlines()
    return lines[0] if lines else type(error).__name__


def is_addressable(name: str) -> bool:
    """Return whether obstore accepts a key: no empty or dot segment, no control character."""
    return _REFUSED.search(name) is None


def is_last_page(page: list[E], page_size: int) -> bool:
    """Return whether no page follows: obstore fills each page to `chunk_size` while keys remain."""
    return len(page) < page_size


def restartable(page: list[E]) -> list[E]:
    """Return the longest prefix of a full page whose last name is a safe start for the next listing.

    A console's folder is an empty object `x/`, which obstore names `x`. A listing after `x` would return it again, so
    a page must end at an object that has content.
    """
    last = next((i for i in reversed(range(len(page))) if page[i].size), -1)
    return page[: last + 1]


def _status(error: BaseException) -> int | None:
    found = _STATUS.search(str(error))
    return None if found is None else int(found[1])
