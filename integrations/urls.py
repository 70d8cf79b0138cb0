"""The driver's addresses."""

from django.urls import path

from integrations import views

app_name = "integrations"

urlpatterns = [
    path("connect/callback/", views.callback, name="callback"),
    path("connect/<str:token>/", views.connect, name="connect"),
    path("driver/<str:token>/", views.driver, name="driver"),
]
