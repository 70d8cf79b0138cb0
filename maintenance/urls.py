"""What staff reach from their mails, without a password."""

from django.urls import path

from maintenance import views

app_name = "maintenance"

urlpatterns = [
    path("alerts/<str:token>/", views.alerts, name="alerts"),
    path("unsubscribe/<str:token>/", views.unsubscribe, name="unsubscribe"),
]
