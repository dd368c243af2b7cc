"""What object stores answer: which failures may pass, how often a request is tried, and how that is told.

obstore raises one kind of error for most of what can happen and says what it was in its message; the tests hold each
sentence that is looked for here against a real server. Its messages repeat the address of the request, which may carry
a signature: what follows a question mark is never repeated.
"""

from __future__ import annotations

import random
import re
import time
from http import HTTPStatus

import attrs

from ...lifecycle.errors import NonFatalInternalError

_STATUS = re.compile(r"Server returned non-2xx status code: (\d{3})")
_ANSWERED = "Server returned error response"
_NETWORK = "HTTP error: "
_CODE = re.compile(r"<Code>([A-Za-z0-9_.-]{1,80})</Code>")
_SYSTEM = re.compile(r'message: "([^"\n]{1,200})"')
_TRIED = re.compile(r", after (\d+) retries")
_HOST = re.compile(r"Error performing [A-Z]+ (https?://[^/\s]+)")
# Where a machine of each cloud is told its own credentials.
_ROLE = re.compile(
    r"Error performing [A-Z]+ https?://[^/\s]+/"
    r"(?:latest/api/token|latest/meta-data/|computeMetadata/|metadata/identity)"
)
_QUERY = re.compile(r"\?\S+")


@attrs.frozen
class Retry:
    """How often a request is tried and what lies between: seconds, doubled each time, less up to half at random.

    `tries` counts the first one too; after `total` seconds nothing is tried again.
    """

    tries: int = attrs.field(default=10, validator=attrs.validators.in_(range(1, 11)))
    first: float = 0.1
    most: float = 15.0
    total: float = 180.0

    def pause(self, failures: int) -> float:
        """Return how many seconds to wait after so many failures.

        >>> 0.2 <= Retry().pause(3) <= 0.4
        True
        """
        return float(min(self.most, self.first * 2 ** (failures - 1)) * random.uniform(0.5, 1.0))


@attrs.frozen
class Fault:
    """Why a request failed, in words; `passing` if it may go well another time, `tries` of obstore itself."""

    what: str
    passing: bool
    tries: int = 1


def fault_of(error: Exception) -> Fault:
    """Return what an error of obstore means: network and server failures pass, all else is final.

    >>> fault_of(OSError("Error performing PUT http://a/b?sig=1 in 1s - Server returned non-2xx status code: 503 x"))
    Fault(what='503 Service Unavailable', passing=True, tries=1)
    >>> fault_of(OSError("Generic Config error: no http://a/b?sig=1 here")).what
    'Generic Config error: no http://a/b?... here'
    """
    fault = _fault_in(str(error), type(error).__name__)
    if _ROLE.search(str(error)):
        why = "there are no credentials in the environment, and the machine has none of its own"
        return attrs.evolve(fault, what=f"{why}: {fault.what}")
    return fault


def _fault_in(message: str, kind: str) -> Fault:
    retried = _TRIED.search(message)
    tries = int(retried[1]) + 1 if retried else 1
    code = _CODE.search(message)
    why = f" ({code[1]})" if code else ""
    if status := _STATUS.search(message):
        return Fault(f"{_phrase(int(status[1]))}{why}", int(status[1]) >= 500, tries)
    if _ANSWERED in message:
        return Fault(f"the server took the request and answered with an error{why}", True, tries)
    if _NETWORK in message:
        host, system = _HOST.search(message), _SYSTEM.search(message)
        where = f" with {host[1]}" if host else ""
        return Fault(f"no answer from the connection{where}{f': {system[1]}' if system else ''}", True, tries)
    first = message.partition("\n")[0]
    return Fault(_QUERY.sub("?...", first)[:500] or kind, False, tries)


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


class Tries:
    """The tries of one request; `purpose` begins the error that ends them: `the artifact 'a' cannot be ...`."""

    def __init__(self, retry: Retry, purpose: str) -> None:
        self._retry = retry
        self._purpose = purpose
        self._failures = 0
        self._end = time.monotonic() + retry.total

    def failed(self, error: Exception) -> float:
        """Take a failure; return how many seconds to wait before the next try.

        Raises: NonFatalInternalError if there is none.
        """
        fault = fault_of(error)
        self._failures += fault.tries
        if not fault.passing or self._failures >= self._retry.tries or time.monotonic() > self._end:
            # Without its cause, whose message may hold a signed address.
            raise failure(self._purpose, attrs.evolve(fault, tries=self._failures)) from None
        return self._retry.pause(self._failures)

    def went_on(self) -> None:
        """Begin to count anew: something has come through."""
        self._failures = 0
        self._end = time.monotonic() + self._retry.total


def failure(purpose: str, fault: Fault) -> NonFatalInternalError:
    """Return the error that says what a request was for, why it failed, and how often it was tried."""
    tried = f", tried {fault.tries} times" if fault.tries > 1 else ""
    return NonFatalInternalError(f"{purpose}: {fault.what}{tried}")
