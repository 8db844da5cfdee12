"""The public log of roles."""

from django.conf import settings
from django.db import models

from papers.models.rules import one_of


class RoleChange(models.Model):
    """One line of the log of roles: whom, which, given or taken, by whom, why."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="role_changes"
    )
    role = models.CharField(max_length=10)
    given = models.BooleanField()
    who = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Empty: from the command line",
    )
    when = models.DateTimeField(auto_now_add=True)
    why = models.CharField(max_length=300)

    class Meta:
        ordering = ["-pk"]
        constraints = [one_of("role", ["submitter", "moderator", "operator"], "role_change_known")]

    def __str__(self) -> str:
        return f"{self.user_id} {'is' if self.given else 'is no longer'} {self.role}"
