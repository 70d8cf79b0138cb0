"""Logins that are refused for a while, after too many wrong passwords. Used by django-axes."""

from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from django.conf import settings
from django.contrib import admin
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _


def client_address(request: HttpRequest) -> str:
    """The address that a lock is confined to: that of the connection.

    `X-Forwarded-For` is not looked at. Anybody can write it, and whoever gives a new address with
    each guess would never be locked. Behind a proxy all connections are the proxy's: there a lock
    holds for its user name from everywhere, but for no other name, and throws nobody out who is
    logged in.
    """
    given = (request.META.get("REMOTE_ADDR") or "").partition("%")[0]
    try:
        address = ip_address(given)
    except ValueError:
        return "127.0.0.1"  # a Unix socket has no address, and without one nothing is ever counted
    if isinstance(address, IPv6Address):
        # One customer has a whole /64 to choose from.
        network = ip_network((address, 64), strict=False).network_address
        address = address.ipv4_mapped or network
    return str(address)


def refuse(
    request: HttpRequest, response: HttpResponse | None, credentials: Mapping[str, Any] | None
) -> HttpResponse:
    """What a locked login is answered: a page in the login's look that says when to try again.

    The same for a name that exists and one that does not.
    """
    wait = _time_left(request, credentials)
    context = {
        **admin.site.each_context(request),
        "title": _("Too many wrong passwords"),
        "minutes": ceil(wait / timedelta(minutes=1)),
    }
    answer = render(request, "admin/locked_out.html", context, status=429)
    answer["Retry-After"] = str(ceil(wait.total_seconds()))
    add_never_cache_headers(answer)
    return answer


def _time_left(request: HttpRequest, credentials: Mapping[str, Any] | None) -> timedelta:
    """Until the last counted failure is too old to count."""
    cool_off: timedelta = settings.AXES_COOLOFF_TIME
    handler = AxesProxyHandler.get_implementation()
    (attempts,) = handler.get_user_attempts(request, credentials)
    last = attempts.aggregate(last=Max("attempt_time"))["last"]
    if last is None:
        return cool_off
    passed: timedelta = request.axes_attempt_time - last  # type: ignore[attr-defined]
    return cool_off - passed
