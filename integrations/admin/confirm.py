"""Ask before an action does what cannot be taken back, or needs to know something first."""

from typing import Any

from django import forms
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _

SHOWN = 100
PREFIX = "ask"  # the form's names must not meet those of the list's own form


class NoteForm(forms.Form):
    note = forms.CharField(
        label=_("Note"),
        required=False,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
        help_text=_("Optional. Stands on the alert for everybody to read."),
    )


def is_confirmed(request: HttpRequest) -> bool:
    return "confirmed" in request.POST


def bind(form_class: type[forms.Form], request: HttpRequest, **kwargs: Any) -> Any:
    """The form, with what was typed once the page was sent."""
    data = request.POST if is_confirmed(request) else None
    return form_class(data, prefix=PREFIX, **kwargs)


def page(
    model_admin: ModelAdmin,
    request: HttpRequest,
    queryset: QuerySet[Any],
    *,
    action: str,
    title: Any,
    text: Any,
    button: Any,
    form: forms.Form | None = None,
    is_destructive: bool = False,
) -> TemplateResponse:
    """The page that asks. Its button runs the same action on the same rows, confirmed."""
    chosen = list(queryset[: SHOWN + 1])
    context = {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "text": text,
        "button": button,
        "opts": model_admin.opts,
        "media": model_admin.media + (form.media if form else forms.Media()),
        "objects": chosen[:SHOWN],
        "more": max(queryset.count() - SHOWN, 0) if len(chosen) > SHOWN else 0,
        "form": form,
        "action": action,
        "checkbox_name": ACTION_CHECKBOX_NAME,
        "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "select_across": request.POST.get("select_across", "0"),
        "is_destructive": is_destructive,
    }
    return TemplateResponse(request, "admin/action_confirmation.html", context)
