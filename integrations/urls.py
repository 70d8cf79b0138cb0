"""The addresses of drivers and providers."""

from django.urls import path

from integrations import views, webhook_views

app_name = "integrations"

urlpatterns = [
    path("connect/callback/", views.callback, name="callback"),
    path("connect/<str:token>/", views.connect, name="connect"),
    path("driver/<str:token>/", views.driver, name="driver"),
    path("webhooks/smartcar/", webhook_views.smartcar_webhook, name="smartcar_webhook"),
    path("webhooks/fleetio/", webhook_views.fleetio_webhook, name="fleetio_webhook"),
]
