"""The Django project: wiring, no logic."""

from fleetportal.celery import app as celery_app

__all__ = ["celery_app"]
