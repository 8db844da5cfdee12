"""What was learnt from the corpus."""

from django.db import models
from django.db.models import Q

from papers.models.rules import must


class Learnt(models.Model):
    """The model that suggests techniques, as plain JSON, so that every process has the same; one row."""

    ONE = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONE)
    weights = models.TextField(help_text="What papers/suggestions.py reads: JSON")
    corpus = models.CharField(max_length=64, help_text="SHA-256 of what it was trained on")
    papers = models.PositiveIntegerField(help_text="How many papers that was")
    trained = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [must(Q(id=1), "learnt_once")]

    def __str__(self) -> str:
        return f"suggestions from {self.papers} papers"
