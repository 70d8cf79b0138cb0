"""Settings become ready clients here and nowhere else."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

from django.conf import settings

from fleetportal import clock
from integrations.clients.fleetio import FleetioClient, IssueCall, Move, parse_call
from integrations.clients.smartcar_types import SmartcarConfig
from integrations.clients.smartcar_v2 import SmartcarV2
from integrations.clients.smartcar_v3 import SmartcarV3
from integrations.models import OutboxEntry
from integrations.registry import Handler, Postponed, Sent
from integrations.services import gates
from integrations.services.gates import Limit
from integrations.services.polling import PollPolicy
from integrations.services.tokens import TokenClient

SmartcarClient = SmartcarV2 | SmartcarV3


def smartcar_limit() -> Limit:
    return Limit(
        name=gates.SMARTCAR,
        size=settings.SMARTCAR_BUCKET_SIZE,
        per_minute=settings.SMARTCAR_BUCKET_REFILL_PER_MINUTE,
    )


def fleetio_limit() -> Limit:
    """Fleetio counts per clock minute and account: fleetio rate limiting page."""
    return Limit(
        name=gates.FLEETIO,
        size=settings.FLEETIO_REQUESTS_PER_MINUTE,
        per_minute=settings.FLEETIO_REQUESTS_PER_MINUTE,
        by_clock_minute=True,
    )


def smartcar_config() -> SmartcarConfig:
    return SmartcarConfig(
        client_id=settings.SMARTCAR_CLIENT_ID,
        client_secret=settings.SMARTCAR_CLIENT_SECRET,
        v3_client_id=settings.SMARTCAR_V3_CLIENT_ID,
        v3_client_secret=settings.SMARTCAR_V3_CLIENT_SECRET,
        application_id=settings.SMARTCAR_APPLICATION_ID,
        redirect_uri=settings.SMARTCAR_REDIRECT_URI,
        management_token=next(iter(settings.SMARTCAR_MANAGEMENT_TOKENS), ""),
        mode=settings.SMARTCAR_MODE,
        api_origin=settings.SMARTCAR_API_ORIGIN,
        auth_origin=settings.SMARTCAR_AUTH_ORIGIN,
        connect_origin=settings.SMARTCAR_CONNECT_ORIGIN,
        management_origin=settings.SMARTCAR_MANAGEMENT_API_ORIGIN,
        vehicle_v3_origin=settings.SMARTCAR_VEHICLE_API_V3_ORIGIN,
        iam_origin=settings.SMARTCAR_IAM_ORIGIN,
        management_v3_origin=settings.SMARTCAR_MANAGEMENT_API_V3_ORIGIN,
        read_timeout=settings.SMARTCAR_READ_TIMEOUT,
    )


def is_v3() -> bool:
    return bool(settings.SMARTCAR_API_VERSION == "v3")


def get_smartcar_client(*, someone_waits: bool = False) -> SmartcarClient:
    """The client for the Smartcar generation in use. Every call takes one from the shared bucket;
    with `someone_waits` it is counted, but neither a limit nor a pause refuses it.
    """
    counted = partial(gates.counted, clock=clock.now, force=someone_waits)
    uncounted = partial(gates.uncounted, clock=clock.now, force=someone_waits)
    generation = SmartcarV3 if is_v3() else SmartcarV2
    return generation(
        smartcar_config(),
        gate=partial(counted, smartcar_limit()),
        token_gate=partial(uncounted, gates.SMARTCAR_TOKENS),
        management_gate=partial(uncounted, gates.SMARTCAR_MANAGEMENT),
    )


def get_pair_client() -> TokenClient | None:
    """The client that exchanges v2's pairs. Under v3 it only keeps them alive: so no gate hears
    it, for nobody has to act when it is refused. None without credentials for it.
    """
    if not (settings.SMARTCAR_CLIENT_ID and settings.SMARTCAR_CLIENT_SECRET):
        return None
    return SmartcarV2(smartcar_config()) if is_v3() else get_smartcar_client()


def get_v3_client() -> SmartcarV3:
    """To look what v3 would say before it is in use; no gate hears it."""
    return SmartcarV3(smartcar_config())


def get_fleetio_client(*, someone_waits: bool = False) -> FleetioClient:
    return FleetioClient(
        api_token=settings.FLEETIO_API_TOKEN,
        account_token=settings.FLEETIO_ACCOUNT_TOKEN,
        base_url=settings.FLEETIO_BASE_URL,
        gate=partial(gates.counted, fleetio_limit(), clock=clock.now, force=someone_waits),
    )


def with_fleetio(deliver: Callable[..., Sent | Postponed]) -> Handler:
    """The handler of an outgoing message that is delivered so, with the real client."""

    def handler(entry: OutboxEntry, *, unclear: bool, now: datetime) -> Sent | Postponed:
        return deliver(entry, client=get_fleetio_client(), unclear=unclear, now=now)

    return handler


def issue_call(move: Move) -> IssueCall | None:
    """How issues are closed, resolved or reopened; None when that is not used.

    Raises ValueError, which says what is wrong with the setting.
    """
    return parse_call(getattr(settings, move.setting), move)


def has_smartcar() -> bool:
    """Whether there are credentials for the generation in use."""
    if is_v3():
        return bool(settings.SMARTCAR_V3_CLIENT_ID and settings.SMARTCAR_V3_CLIENT_SECRET)
    return bool(settings.SMARTCAR_CLIENT_ID and settings.SMARTCAR_CLIENT_SECRET)


def has_fleetio() -> bool:
    return bool(settings.FLEETIO_API_TOKEN and settings.FLEETIO_ACCOUNT_TOKEN)


def poll_policy() -> PollPolicy:
    return PollPolicy(calls_per_month=settings.SMARTCAR_CALLS_PER_VEHICLE_MONTH)
