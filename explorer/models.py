"""What the surface keeps: API tokens, stored hashed, who wants no e-mail, and the index that search reads."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class ApiToken(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=60)
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256; the token itself is shown once")
    created = models.DateTimeField(auto_now_add=True)
    last_used = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created"]

    def __str__(self) -> str:
        return self.name


class NoLetters(models.Model):
    """Somebody who wants no e-mail about what they sent in."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="no_letters"
    )
    since = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"no letters to {self.user_id}"


class Touched(models.Model):
    """Triggers write a line for each paper whose row, tags, names, claims or measurements change.

    A web process pulls the lines since it last looked, so that its index is never behind (snapshot.py).
    """

    paper_id = models.BigIntegerField(null=True, help_text="Empty: anything may have changed")
    stamp = models.BigIntegerField(help_text="The transaction that changed it, as a number that only rises")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["stamp", "paper_id"], name="touched_since")]

    def __str__(self) -> str:
        return f"{self.paper_id} at {self.stamp}"


class Base(models.Model):
    """One whole index of all papers, as `manage.py index_papers` stored it; it holds up to its stamp."""

    stamp = models.BigIntegerField()
    papers = models.BinaryField(help_text="A roaring bitmap of all ids")
    built = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"Base {self.pk}"


class Posting(models.Model):
    """The papers that one facet value or one word has, as a roaring bitmap of their ids."""

    pk = models.CompositePrimaryKey("base_id", "key")
    base = models.ForeignKey(Base, on_delete=models.CASCADE, db_index=False)
    key = models.TextField(db_collation="C", help_text='"f/year=2023", "w/quantiz"')
    bitmap = models.BinaryField()

    def __str__(self) -> str:
        return self.key
