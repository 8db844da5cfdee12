"""Entries of many formats; identifiers alone wait for their metadata; large submissions are read in batches."""

from django.db import migrations, models
from django.db.models import Q

FORMATS = [
    ("bibtex", "BibTeX"),
    ("ris", "RIS"),
    ("csl", "CSL-JSON"),
    ("arxiv", "arXiv id"),
    ("doi", "DOI"),
    ("openreview", "OpenReview id"),
    ("acl", "ACL id"),
    ("url", "web address"),
    ("line", "line of text"),
]
FOUND = [
    ("new", "New"),
    ("known", "already here"),
    ("incomplete", "metadata to be completed"),
    ("invalid", "Invalid"),
]


def count_entries(apps, schema_editor):
    """Every submission so far was stored whole."""
    for submission in apps.get_model("papers", "Submission").objects.annotate(n=models.Count("entries")):
        submission.total = submission.n
        submission.save(update_fields=["total"])


class Migration(migrations.Migration):
    dependencies = [("papers", "0003_folded_search")]
    operations = [
        migrations.AddField(
            "submission",
            "total",
            models.PositiveIntegerField(
                default=0, help_text="References found in the text; their entries are stored batch by batch"
            ),
        ),
        migrations.AddField(
            "submission",
            "remarks",
            models.JSONField(default=list, help_text="What of the text is no reference, a sentence each"),
        ),
        migrations.RunPython(count_entries, migrations.RunPython.noop, elidable=True),
        migrations.AddField(
            "entry",
            "format",
            models.CharField(
                choices=FORMATS, default="bibtex", help_text="What it was recognised as", max_length=10
            ),
        ),
        migrations.AlterField("entry", "found", models.CharField(choices=FOUND, max_length=10)),
        migrations.RemoveConstraint("entry", "entry_found_known"),
        migrations.AddConstraint(
            "entry",
            models.CheckConstraint(
                condition=Q(found__in=["new", "known", "incomplete", "invalid"]), name="entry_found_known"
            ),
        ),
        migrations.AddConstraint(
            "entry",
            models.CheckConstraint(
                condition=~Q(found="incomplete", decision="accepted"), name="entry_incomplete_never_accepted"
            ),
        ),
    ]
