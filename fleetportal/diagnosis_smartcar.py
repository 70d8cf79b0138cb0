"""What `doctor` looks at of Smartcar: credentials, clock, which connections are readable through
the generation in use or the next one, and whether cars report by themselves.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests
from django.conf import settings

from fleetportal import clock
from fleetportal.findings import Found
from integrations import conf
from integrations.clients.errors import ClientError, Outcome
from integrations.clients.smartcar_v3 import SmartcarV3
from integrations.models import Connection, OAuthToken, VehicleAccess
from integrations.services import gates, moving, subscriptions, tokens, webhook_setup

MAX_CLOCK_ERROR = 60
NAMED = 3  # so many are named, the rest is counted


def credentials() -> Iterator[Found]:
    if not conf.has_smartcar():
        yield Found("Smartcar", False, f"not set up; set {_credentials()}")
        return
    try:
        _prove_credentials()
    except ClientError as exc:
        if exc.outcome is Outcome.STOP:
            hint = f"look at {_credentials()}"
            yield Found("Smartcar", False, f"refuses our credentials; {hint}")
        else:
            yield Found("Smartcar", False, f"cannot be reached ({exc})")
        return
    if conf.is_v3() and settings.SMARTCAR_APPLICATION_ID.startswith("client_"):
        hint = "set SMARTCAR_APPLICATION_ID to the application's id from Smartcar's dashboard"
        yield Found("Connect", False, f"wants another id than the client's; {hint}")
    resumed = resume(gates.SMARTCAR_TOKENS, gates.SMARTCAR)
    tokens.try_again_now()
    version = settings.SMARTCAR_API_VERSION
    yield Found("Smartcar", True, f"accepts our credentials ({version}){resumed}")
    yield _clock(settings.SMARTCAR_IAM_ORIGIN if conf.is_v3() else settings.SMARTCAR_AUTH_ORIGIN)


def _credentials() -> str:
    names = "SMARTCAR_CLIENT_ID and SMARTCAR_CLIENT_SECRET"
    return names.replace("CLIENT", "V3_CLIENT") if conf.is_v3() and _has_own_v3() else names


def _has_own_v3() -> bool:
    return bool(settings.SMARTCAR_V3_CLIENT_ID != settings.SMARTCAR_CLIENT_ID)


def _prove_credentials() -> None:
    """Raises ClientError when they are refused, or nobody answers."""
    client = conf.get_smartcar_client(someone_waits=True)
    if isinstance(client, SmartcarV3):
        client.request_token()
        return
    try:
        # No refresh token looks like this one: being told so proves the credentials good.
        client.refresh("fleet-portal-doctor")
    except ClientError as exc:
        if exc.outcome is not Outcome.RECONNECT:
            raise


def generation() -> Iterator[Found]:
    """Which connections the generation in use does not read, or the next one would not."""
    if not conf.has_smartcar() or not Connection.objects.active().exists():
        return
    if conf.is_v3():
        yield _not_moved()
        return
    try:
        client = conf.get_v3_client()
        listed = moving.by_user(client.list_connections(client.request_token().access_token))
    except ClientError as exc:
        hint = "set SMARTCAR_V3_CLIENT_ID and SMARTCAR_V3_CLIENT_SECRET before v2 ends"
        text = f"cannot be looked at ({exc}); {hint}"
        yield Found("moving to v3", not _has_own_v3(), text)
        return
    lost = moving.lost_under_v3(listed)
    text = "; ".join(f"{one.connection}: {one.why}" for one in lost[:NAMED])
    more = f"; and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
    count = Connection.objects.active().count()
    if lost:
        text = f"{len(lost)} of {count} connections would not be readable. {text}{more}"
    yield Found("moving to v3", not lost, text or f"all {count} connections would be readable")


def _not_moved() -> Found:
    waiting = moving.not_moved(client=conf.get_smartcar_client())
    if not waiting:
        back = OAuthToken.objects.filter(connection__isnull=False).exclude(refresh_token="")
        way_back = f"; {back.count()} could go back to v2" if back.exists() else ""
        return Found("Smartcar v3", True, f"lists the cars of all connections{way_back}")
    names = ", ".join(str(one) for one in waiting[:NAMED])
    hint = "run poll; if it stays so, is it the same application?"
    return Found("Smartcar v3", False, f"does not list the cars of {names} yet; {hint}")


def webhook() -> Found:
    """Without one the cars are polled, which is fine."""
    if not settings.SMARTCAR_WEBHOOK_ID:
        hint = "not set up: cars are only polled; the admin's page Webhook set-up tells how"
        return Found("webhook", True, hint)
    problems = webhook_setup.problems(clock.now())
    text = " ".join(f"{one.what} {one.to_do}" for one in problems)
    return Found("webhook", not problems, text or "is verified, and cars report")


def subscribed() -> Iterator[Found]:
    if not settings.SMARTCAR_WEBHOOK_ID:
        return
    missing = subscriptions.silent(settings.SMARTCAR_WEBHOOK_ID, now=clock.now())
    count = missing.count()
    names = ", ".join(f"{way.vehicle}{_because(way)}" for way in missing[:NAMED])
    more = f" and {count - NAMED} more" if count > NAMED else ""
    hint = "they are tried again by themselves; a worker or poll does it"
    if count:
        yield Found("subscriptions", False, f"not subscribed: {names}{more}; {hint}")
    else:
        yield Found("subscriptions", True, "all shared cars are subscribed to the webhook")


def _because(way: VehicleAccess) -> str:
    return f" ({way.subscription_error})" if way.subscription_error else ""


def _clock(url: str) -> Found:
    """Compare with the provider's clock: tokens and readings are worth nothing on a wrong one."""
    try:
        answer = requests.head(url, timeout=(5, 10))
        theirs = parsedate_to_datetime(answer.headers["Date"])
    except (requests.RequestException, KeyError, ValueError):
        return Found("clock", True, "not compared: the provider named no time")
    off = abs((datetime.now(UTC) - theirs).total_seconds())
    if off > MAX_CLOCK_ERROR:
        return Found("clock", False, f"{off:.0f} s away from Smartcar's; set up time service")
    return Found("clock", True, "agrees with Smartcar's")


def resume(*names: str) -> str:
    """Credentials that are good again end a pause at once."""
    resumed = [gates.resume(name, now=clock.now()) for name in names]
    return "; calls were paused and go on now" if any(resumed) else ""
