"""The public history: every change of a paper or a claim."""

from django.conf import settings
from django.db import models

from papers.models.literature import Paper


class Change(models.Model):
    """One public line of history: who changed what, when, why, and what was there before."""

    paper = models.ForeignKey(Paper, null=True, on_delete=models.SET_NULL, related_name="changes")
    subject = models.CharField(
        max_length=200, help_text='"paper dao2022flashattention", "claim <key>/speedup_x"'
    )
    action = models.CharField(max_length=20)
    who = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    when = models.DateTimeField(auto_now_add=True)
    why = models.TextField(blank=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    undoes = models.OneToOneField("self", null=True, on_delete=models.PROTECT, related_name="undone_by")

    class Meta:
        ordering = ["-when", "-pk"]

    def __str__(self) -> str:
        return f"{self.action} {self.subject}"
