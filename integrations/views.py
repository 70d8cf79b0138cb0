"""The driver's pages: invitation, the way back from Connect, and what is shared."""

import hashlib
import logging
import re
import secrets
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from fleetportal import clock
from integrations import conf, consent
from integrations.clients.errors import ClientError, Outcome
from integrations.consent import Share
from integrations.models import ConnectLink, Driver, PortalSettings
from integrations.services import connect_links, connections, revoking
from integrations.services.connections import Connected

logger = logging.getLogger(__name__)

STATES = "connect_states"
STATES_KEPT = 10
USER_ID = re.compile(r"[!-~]{1,64}")  # what a header and our column can hold


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def connect(request: HttpRequest, token: str) -> HttpResponseBase:
    """A GET explains and uses nothing up; the POST of the one button goes to Connect."""
    link = connect_links.find(token)
    if link is None:
        return _page(request, "link_unknown", status=404)
    state = link.state(clock.now())
    if state is not ConnectLink.State.VALID:
        return _page(request, "link_closed", status=410, link=link, state=state.value)
    if not conf.has_smartcar():
        return _page(request, "not_ready", status=503, link=link)
    client = conf.get_smartcar_client(someone_waits=True)
    if request.method == "POST":
        return redirect(
            connections.connect_url(link, state=_new_state(request, link), client=client)
        )
    if link.reauthenticates:
        return _page(request, "sign_in_again", link=link)
    scope = connections.scope(client)
    return _page(
        request,
        "connect",
        link=link,
        purposes=consent.explain(scope),
        reads_only=all(permission.startswith("read_") for permission in scope),
    )


@never_cache
@require_GET
def callback(request: HttpRequest) -> HttpResponse:
    """Where Connect sends the driver back. A state that this browser did not start gets 400."""
    link = _take_state(request)
    if link is None:
        return _page(request, "state_unknown", status=400)
    if error := request.GET.get("error", ""):
        logger.info("connect link %s: Connect answered %s", link.pk, error[:40])
        problem = consent.problem(error, request.GET)
        return _page(request, "connect_problem", link=link, problem=problem, retry=_retry(link))
    if link.reauthenticates_id:
        return _signed_in_again(request, link)
    # v3 gives the driver's id, under either spelling; v2 a code that is exchanged for it.
    user_id = request.GET.get("user_id") or request.GET.get("userId") or ""
    code = request.GET.get("code", "")
    is_given = USER_ID.fullmatch(user_id) if conf.is_v3() else 0 < len(code) <= 512
    if not is_given:
        return _page(request, "state_unknown", status=400)
    return _finish(request, link, code=code, user_id=user_id)


def _finish(request: HttpRequest, link: ConnectLink, *, code: str, user_id: str) -> HttpResponse:
    try:
        connected = connections.finish(
            link,
            code=code,
            user_id=user_id,
            client=conf.get_smartcar_client(someone_waits=True),
            mode=settings.SMARTCAR_MODE,
            webhook_id=settings.SMARTCAR_WEBHOOK_ID,
            now=clock.now(),
        )
    except connections.LinkUsedError:
        return _link_used(request, link)
    except connections.NotVouchedError:
        return _page(request, "state_unknown", status=400)
    except ClientError as exc:
        logger.warning("connect link %s: %s", link.pk, exc)
        is_ours = exc.outcome in {Outcome.STOP, Outcome.REJECTED}
        problem = consent.problem("configuration_error" if is_ours else "server_error", {})
        # A code that Smartcar does not know was forged or has expired: not the provider's fault.
        status = 400 if exc.outcome is Outcome.RECONNECT else 502
        return _page(
            request,
            "connect_problem",
            status=status,
            link=link,
            problem=problem,
            retry=_retry(link),
        )
    return _connected(request, link, connected)


def _signed_in_again(request: HttpRequest, link: ConnectLink) -> HttpResponse:
    """The driver only signed in at the maker: there is no code, the consent stays as it was."""
    vehicle_id = request.GET.get("vehicle_id") or request.GET.get("vehicleId") or ""
    try:
        connection = connections.signed_in_again(link, smartcar_id=vehicle_id, now=clock.now())
    except connections.LinkUsedError:
        return _link_used(request, link)
    if connection is None:
        return _page(request, "state_unknown", status=400)
    cars = [way.vehicle for way in connection.accesses.filter(ended_at__isnull=True)]
    return _connected(request, link, Connected(connection, cars))


def _connected(request: HttpRequest, link: ConnectLink, connected: Connected) -> HttpResponse:
    driver_url = connect_links.driver_path(link.driver)
    return _page(request, "connected", link=link, connected=connected, driver_url=driver_url)


def _link_used(request: HttpRequest, link: ConnectLink) -> HttpResponse:
    link.refresh_from_db()
    state = link.state(clock.now())
    if state is ConnectLink.State.VALID:  # another window is using it at this moment
        state = ConnectLink.State.USED
    return _page(request, "link_closed", status=410, link=link, state=state.value)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def driver(request: HttpRequest, token: str) -> HttpResponseBase:
    """What a driver shares, and the two things to do about it: reconnect and withdraw."""
    person = connect_links.find_driver(token)
    if person is None:
        return _page(request, "link_unknown", status=404)
    if request.method == "POST" and request.POST.get("action") == "reconnect":
        if not person.is_active:
            return _page(request, "link_closed", status=410, state="inactive")
        return redirect(connect_links.path(connect_links.create(person, now=clock.now())))
    shares = consent.shares(person)
    if request.method == "POST":
        if request.POST.get("action") != "withdraw":
            raise BadRequest
        return _withdraw(request, person, _find(shares, request.POST.get("connection", "")))
    return _page(
        request,
        "driver",
        driver=person,
        shares=shares,
        asked=_find(shares, request.GET.get("withdraw", "")),
        needs_reconnect=any(not share.is_working for share in shares),
    )


def _find(shares: Sequence[Share], pk: str) -> Share | None:
    return next((share for share in shares if str(share.connection.pk) == pk), None)


def _withdraw(request: HttpRequest, person: Driver, share: Share | None) -> HttpResponse:
    """End the consent. Asked twice, or for a foreign one, it does nothing."""
    if share is not None:
        revoking.revoke(
            share.connection,
            client=conf.get_smartcar_client(someone_waits=True),
            reason=_("Withdrawn by the driver"),
            actor=str(person),
            now=clock.now(),
        )
    return _page(request, "withdrawn", driver=person)


def _new_state(request: HttpRequest, link: ConnectLink) -> str:
    """A random state that belongs to this browser's session, which keeps its digest alone."""
    state = secrets.token_urlsafe(32)
    kept = list(request.session.get(STATES, []))[-(STATES_KEPT - 1) :]
    request.session[STATES] = [*kept, [_digest(state), link.pk]]
    return state


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def _take_state(request: HttpRequest) -> ConnectLink | None:
    """The link that this browser started with this state; each state works once."""
    given = _digest(request.GET.get("state", ""))
    kept = list(request.session.get(STATES, []))
    found = [pair for pair in kept if constant_time_compare(pair[0], given)]
    if not found:
        return None
    request.session[STATES] = [pair for pair in kept if pair not in found]
    request.session.save()  # before the exchange: a second request must not find it
    rows = ConnectLink.objects.select_related("driver", "group", "reauthenticates__connection")
    return rows.filter(pk=found[0][1]).first()


def _retry(link: ConnectLink) -> str:
    usable = link.state(clock.now()) is ConnectLink.State.VALID
    return connect_links.path(link) if usable else ""


def _page(request: HttpRequest, name: str, *, status: int = 200, **context: Any) -> HttpResponse:
    context["portal"] = PortalSettings.load()
    return render(request, f"integrations/{name}.html", context, status=status)
