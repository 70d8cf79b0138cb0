"""The fleet's own words for notices: checked when they are typed, shown before they are used."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fleetportal import clock
from integrations.admin import words
from integrations.admin.base import Panel, PortalAdmin, acting_user
from integrations.admin.panels import timeline
from integrations.services import activity
from maintenance.admin.channels import report
from maintenance.models import NoticeTemplate
from maintenance.services import fleet_words, trials

Name = NoticeTemplate.Name
# What a new template begins with: enough to see how it is done.
BEGINNING = {
    "name": Name.ALERT.value,
    "subject": "{{ stage }}: {{ what }}, {{ vehicle }}",
    "body": (
        "{{ what }}\n{{ vehicle }} {{ vin }}\n{% for line in lines %}\n{{ line }}{% endfor %}\n"
    ),
}


class NoticeTemplateForm(forms.ModelForm):
    class Meta:
        model = NoticeTemplate
        fields = ("name", "subject", "body", "is_enabled")
        help_texts = {
            "body": gettext_lazy(
                "Once it is saved, all placeholders of its kind are listed below."
            ),
        }
        widgets = {
            "subject": forms.TextInput(attrs={"size": 80}),
            "body": forms.Textarea(attrs={"rows": 14, "cols": 80}),
        }

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or {}
        name = cleaned.get("name") or self.instance.name
        for field in ("subject", "body"):
            if name and cleaned.get(field):
                try:
                    fleet_words.check(Name(name), cleaned[field])
                except ValidationError as exc:
                    self.add_error(field, exc)
        return cleaned


@admin.register(NoticeTemplate)
class NoticeTemplateAdmin(PortalAdmin):
    form = NoticeTemplateForm
    list_display = ("name", "subject", "is_enabled", "works", "updated_at", "updated_by")
    list_select_related = ("updated_by",)
    actions = ("send_test",)
    empty_hint = gettext_lazy("Notices are in the portal's words. Add a template to use your own.")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {**BEGINNING, **super().get_changeform_initial_data(request)}

    def get_readonly_fields(self, request: HttpRequest, obj: NoticeTemplate | None = None) -> Any:
        return () if obj is None else ("name", "look", "updated_at", "updated_by")

    def get_fields(self, request: HttpRequest, obj: NoticeTemplate | None = None) -> Any:
        typed = ("name", "subject", "body", "is_enabled")
        return typed if obj is None else (*typed, "look", ("updated_at", "updated_by"))

    @admin.display(description=gettext_lazy("works"))
    def works(self, template: NoticeTemplate) -> str:
        """What a version of the portal that knows other placeholders made of it."""
        try:
            for source in (template.subject, template.body):
                fleet_words.check(Name(template.name), source)
        except ValidationError as exc:
            return words.badge("overdue", " ".join(exc.messages))
        return words.badge("good", _("Yes"))

    @admin.display(description=gettext_lazy("preview"))
    def look(self, template: NoticeTemplate) -> str:
        url = reverse("admin:maintenance_noticetemplate_preview", args=[template.pk])
        return format_html('<a href="{}">{}</a>', url, _("See it on the newest alert"))

    def get_panels(self, request: HttpRequest, obj: NoticeTemplate) -> list[Panel]:
        placeholders = Panel(
            title=_("Placeholders"),
            headers=(_("Write"), _("Stands for")),
            rows=[
                (f"{{{{ {name} }}}}", str(meaning))
                for name, meaning in fleet_words.PLACEHOLDERS[obj.name].items()
            ],
            lead=_(
                "Conditions and loops are possible: {% if vin %}…{% endif %},"
                " {% for line in lines %}…{% endfor %}. Links, the fleet's name and the way to"
                " unsubscribe are added below the text. While a template is broken, the portal's"
                " own words are used."
            ),
        )
        return [placeholders, timeline(obj)]

    def save_model(
        self, request: HttpRequest, obj: NoticeTemplate, form: Any, change: bool
    ) -> None:
        now, user = clock.now(), acting_user(request)
        obj.updated_at, obj.updated_by = now, user
        super().save_model(request, obj, form, change)
        activity.record("Template changed", now=now, about=obj, user=user)

    def get_urls(self) -> Any:
        view = self.admin_site.admin_view(self.preview_view)
        name = "maintenance_noticetemplate_preview"
        return [path("<int:pk>/preview/", view, name=name), *super().get_urls()]

    def preview_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The template on the newest alert, as text."""
        template = NoticeTemplate.objects.filter(pk=pk).first()
        if template is None or not self.has_view_permission(request, template):
            raise Http404
        shown, error = None, ""
        try:
            shown = trials.preview(template, now=clock.now())
        except Exception as exc:  # noqa: BLE001  whatever an admin wrote
            error = str(exc)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Preview"),
            "opts": self.opts,
            "template": template,
            "shown": shown,
            "error": error,
        }
        return TemplateResponse(request, "admin/notice_preview.html", context)

    @admin.action(description=gettext_lazy("Send a test to me"), permissions=["act"])
    def send_test(self, request: HttpRequest, queryset: QuerySet[NoticeTemplate]) -> None:
        email = acting_user(request).email
        for template in queryset:
            problems = [_("Your user has no email address.")] if not email else []
            if email:
                try:
                    problems = trials.try_template(template, email=email, now=clock.now())
                except Exception as exc:  # noqa: BLE001  whatever an admin wrote
                    problems = [f"{template}: {exc}"]
            report(self, request, str(template), problems)
