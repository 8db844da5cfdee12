from config.celery import app as celery_app  # so that every process of the site finds the same Celery app

__all__ = ["celery_app"]
