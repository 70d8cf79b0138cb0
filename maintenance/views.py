"""Pages behind the links in mails: look at an alert and act on it, or get no more mails."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from integrations.models import PortalSettings


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def alerts(request: HttpRequest, token: str) -> HttpResponse:
    return _page(request, "link_unknown", status=404)


@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    return _page(request, "link_unknown", status=404)


def _page(request: HttpRequest, name: str, *, status: int = 200, **context: Any) -> HttpResponse:
    context["portal"] = PortalSettings.load()
    return render(request, f"maintenance/{name}.html", context, status=status)
