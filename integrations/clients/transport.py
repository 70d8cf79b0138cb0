"""The one way out: pooled HTTP with our own timeouts, failures sorted into ClientError.

Nothing is repeated here but a connection that could not be opened, when nothing was sent yet.
"""

import http.client
import os
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.util import Retry

from integrations.clients.errors import ClientError, Outcome

CONNECT_TIMEOUT = 5.0
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})

# Turns an answer outside 200-299 into an error; gets the words that name the call.
Classify = Callable[[requests.Response, str], ClientError]

_local = threading.local()

_PROXY_VARIABLES = [
    name
    for scheme in ("http", "https", "all")
    for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper())
]

_NEVER_SENT = (
    urllib3.exceptions.NewConnectionError,  # refused; its subclass is DNS
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProxyError,
    ssl.SSLCertVerificationError,
)
# Ours: a URL or a header that cannot be written. Their text quotes it, so it is never shown.
_UNSENDABLE = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidHeader,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    UnicodeError,
)


def request(
    method: str,
    url: str,
    *,
    read_timeout: float,
    provider: str,
    label: str,
    classify: Classify | None = None,
    repeatable: bool | None = None,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    json: Any = None,
    data: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
) -> requests.Response:
    """Make one call and return its 2xx answer, or raise ClientError.

    `read_timeout` is in seconds and also bounds connecting and waiting together; connecting alone
    gets 5 s, twice at most. `repeatable` says that doing it twice does no harm; without it the
    method decides. `label` stands in the error's text, so it must not hold a secret. A redirect is
    never followed: it could carry a token to another host.
    """
    where = f"{provider}: {label}"
    repeatable = method.upper() in IDEMPOTENT if repeatable is None else repeatable
    try:
        response = _session().request(
            method,
            url,
            headers=headers,
            params=params,
            json=json,
            data=data,
            auth=auth,
            timeout=_timeout(read_timeout),  # type: ignore[arg-type]  # requests takes it as it is
            allow_redirects=False,
            proxies=_proxies(url),
        )
    except (OSError, ValueError, urllib3.exceptions.HTTPError, http.client.HTTPException) as exc:
        failure = _failure(exc, where, repeatable=repeatable)
    else:
        if response.ok and response.status_code < 300:
            return response
        failure = (classify or status_error)(response, where)
        failure.may_have_happened = not repeatable and not _is_refusal(response.status_code)
    # Raised out here so that the library's error, which quotes the URL, is not its context.
    raise failure


def _is_refusal(status: int) -> bool:
    """Whether it says that nothing was done; 408 only says that time ran out."""
    return 400 <= status < 500 and status != 408


def _timeout(read_timeout: float) -> urllib3.Timeout:
    connect = min(CONNECT_TIMEOUT, read_timeout)
    return urllib3.Timeout(connect=connect, read=read_timeout, total=read_timeout)


def read_json(response: requests.Response, where: str, *, may_have_happened: bool = False) -> Any:
    """The JSON of a 2xx answer; garbage is a ClientError like a lost answer."""
    try:
        return response.json()
    except ValueError:
        pass
    raise malformed(where, response, may_have_happened=may_have_happened)


def malformed(
    where: str, response: requests.Response | None = None, *, may_have_happened: bool = False
) -> ClientError:
    """The error for an answer that is not of the promised shape."""
    return ClientError(
        f"{where}: the answer is not of the promised shape",
        outcome=Outcome.RETRY,
        status_code=None if response is None else response.status_code,
        type="MALFORMED",
        may_have_happened=may_have_happened,
    )


def status_error(response: requests.Response, where: str) -> ClientError:
    """The error for a refused call when nothing is known but its status."""
    status = response.status_code
    outcome = Outcome.REJECTED if 400 <= status < 500 and status != 408 else Outcome.RETRY
    return ClientError(f"{where}: HTTP {status}", outcome=outcome, status_code=status)


def _session() -> requests.Session:
    """This thread's session. A forked child gets its own: two processes on one TLS stream mix."""
    if getattr(_local, "pid", None) != os.getpid():
        _local.session = _new_session()
        _local.pid = os.getpid()
    session: requests.Session = _local.session
    return session


def _new_session() -> requests.Session:
    session = requests.Session()
    # Reading the environment for each call is slow, and a .netrc would replace our Authorization.
    session.trust_env = False
    session.verify = (
        os.environ.get("REQUESTS_CA_BUNDLE")
        or os.environ.get("CURL_CA_BUNDLE")
        or requests.utils.DEFAULT_CA_BUNDLE_PATH
    )
    # One driver's cookie must not travel with the next driver's call.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    retries = Retry(
        total=1,
        connect=1,
        read=False,  # 0 would hide a read timeout inside MaxRetryError
        status=0,
        redirect=0,
        other=0,
        respect_retry_after_header=False,  # else a 429 to a GET is retried or lost
    )
    adapter = HTTPAdapter(pool_maxsize=4, max_retries=retries)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _proxies(url: str) -> dict[str, str] | None:
    # Looked up by name: to walk through the whole environment takes longer than to read an answer.
    if not any(os.environ.get(name) for name in _PROXY_VARIABLES):
        return None
    return dict(get_environ_proxies(url))


def _failure(exc: Exception, where: str, *, repeatable: bool) -> ClientError:
    """Sort what went wrong before an answer was complete, by whether anything was sent."""
    if isinstance(exc, _UNSENDABLE):
        return ClientError(
            f"{where}: the request cannot be written ({type(exc).__name__})",
            outcome=Outcome.REJECTED,
            type="UNSENDABLE",
        )
    causes = list(_causes(exc))
    timed_out = any(
        isinstance(c, (requests.Timeout, urllib3.exceptions.TimeoutError)) for c in causes
    )
    never_sent = any(isinstance(cause, _NEVER_SENT) for cause in causes)
    what = "could not connect" if never_sent else "no complete answer"
    return ClientError(
        f"{where}: {what} ({type(causes[-1]).__name__})",
        outcome=Outcome.RETRY,
        type="TIMEOUT" if timed_out and not never_sent else "CONNECTION",
        may_have_happened=not never_sent and not repeatable,
    )


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps: requests and urllib3 put it into `args` and `reason`."""
    yield exc
    inner = [getattr(exc, "reason", None), *exc.args]
    for cause in inner:
        if isinstance(cause, BaseException):
            yield from _causes(cause)
            return
