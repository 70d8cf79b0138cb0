"""Code overrides from a file, and into one: shown first, written when a person says so."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from fleetportal import clock
from integrations.admin import words
from integrations.admin.base import Panel, PortalAdmin, acting_user
from maintenance.models import CodeOverride
from maintenance.services import code_csv
from maintenance.services.code_csv import Plan

SHOWN = 200  # lines of a preview
FILE_NAME = "trouble-codes.csv"


class FileForm(forms.Form):
    file = forms.FileField(label=gettext_lazy("CSV file"))

    def clean_file(self) -> str:
        """The file's text."""
        file = self.cleaned_data["file"]
        # One byte too many is enough to know that it is too large.
        return code_csv.to_text(file.read(code_csv.MAX_BYTES + 1))


class ConfirmForm(forms.Form):
    """The text of a file that was looked at; it is checked again as if it were new.

    Browsers send each line's end as two characters, so it may have grown.
    """

    text = forms.CharField(widget=forms.HiddenInput, strip=False, max_length=2 * code_csv.MAX_BYTES)


def may_import(model_admin: PortalAdmin, request: HttpRequest) -> bool:
    return model_admin.has_add_permission(request) and model_admin.has_change_permission(request)


def import_view(model_admin: PortalAdmin, request: HttpRequest) -> HttpResponse:
    """Choose a file, see what it would change or what is wrong with it, then write it."""
    if not may_import(model_admin, request):
        raise PermissionDenied
    if "confirmed" in request.POST:
        return _write(model_admin, request)
    if request.method != "POST":
        return _page(model_admin, request, FileForm())
    form = FileForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(model_admin, request, form)
    text = form.cleaned_data["file"]
    return _page(model_admin, request, FileForm(), text, code_csv.plan(text))


def export_view(model_admin: PortalAdmin, request: HttpRequest) -> HttpResponse:
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    headers = {"Content-Disposition": f'attachment; filename="{FILE_NAME}"'}
    return HttpResponse(code_csv.export(), content_type="text/csv; charset=utf-8", headers=headers)


def _write(model_admin: PortalAdmin, request: HttpRequest) -> HttpResponse:
    form = ConfirmForm(request.POST)
    if not form.is_valid():
        text = _("What was to be imported did not arrive whole. Choose the file again.")
        model_admin.message_user(request, text, messages.ERROR)
        return _page(model_admin, request, FileForm())
    text = form.cleaned_data["text"]
    done = code_csv.carry_out(text, now=clock.now(), user=acting_user(request))
    if done.problems:
        return _page(model_admin, request, FileForm(), text, done)
    said = _("%(new)d added, %(changed)d changed, %(same)d as they were.")
    model_admin.message_user(request, said % _counts(done), messages.SUCCESS)
    return HttpResponseRedirect(words.list_url(CodeOverride))


def _counts(plan: Plan) -> dict[str, int]:
    return {"new": len(plan.new), "changed": len(plan.changed), "same": plan.same}


def _page(
    model_admin: PortalAdmin,
    request: HttpRequest,
    form: FileForm,
    text: str = "",
    plan: Plan | None = None,
) -> TemplateResponse:
    writes = plan is not None and not plan.problems and bool(plan.new or plan.changed)
    context: dict[str, Any] = {
        **model_admin.admin_site.each_context(request),
        "title": _("Import code overrides"),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "form": form,
        "columns": ", ".join(code_csv.COLUMNS),
        "panels": [_problems(plan) if plan.problems else _changes(plan)] if plan else [],
        "confirm": ConfirmForm({"text": text}) if writes else None,
    }
    return TemplateResponse(request, "admin/code_import.html", context)


def _problems(plan: Plan) -> Panel:
    count = len(plan.problems)
    lead = ngettext(
        "Nothing was written: %(count)d thing is wrong. Put it right and choose the file again.",
        "Nothing was written: %(count)d things are wrong. Put them right and choose the file"
        " again.",
        count,
    )
    return Panel(
        title=_("What is wrong"),
        lead=lead % {"count": count},
        headers=(_("Line"), _("What")),
        rows=[(problem.line or words.NOTHING, problem.text) for problem in plan.problems[:SHOWN]],
    )


def _changes(plan: Plan) -> Panel:
    lead = _("%(new)d to be added, %(changed)d to be changed, %(same)d are as they are here.")
    marked = [
        *((row, words.badge("good", _("new"))) for row in plan.new),
        *((row, words.badge("soon", _("changed"))) for row in plan.changed),
    ]
    return Panel(
        title=_("What would change"),
        lead=lead % _counts(plan),
        headers=(_("Code"), "", _("Severity"), _("Ignored"), _("Our own meaning"), _("Note")),
        rows=[
            (
                row.pattern,
                mark,
                row.get_severity_display() or words.NOTHING,
                _("yes") if row.is_ignored else _("no"),
                row.text or words.NOTHING,
                row.note or words.NOTHING,
            )
            for row, mark in marked[:SHOWN]
        ],
        empty=_("Nothing: all of it is here already."),
    )
