"""Celery carries doorbells and the clock, nothing else: the database row is the truth."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("spectrum")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
