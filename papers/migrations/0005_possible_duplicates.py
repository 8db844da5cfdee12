"""An entry may be a possible duplicate, and the indexes by which near-duplicates are found."""

import django.db.models.functions.text
from django.db import migrations, models

import papers.querysets

FOUND = ["new", "known", "possible", "incomplete", "invalid"]
CHOICES = [
    ("new", "New"),
    ("known", "already here"),
    ("possible", "possible duplicate"),
    ("incomplete", "metadata to be completed"),
    ("invalid", "Invalid"),
]


class Migration(migrations.Migration):
    dependencies = [("papers", "0004_submit_anything")]
    operations = [
        migrations.RemoveConstraint("entry", "entry_found_known"),
        migrations.AlterField("entry", "found", models.CharField(choices=CHOICES, max_length=10)),
        migrations.AddConstraint(
            "entry",
            models.CheckConstraint(condition=models.Q(found__in=FOUND), name="entry_found_known"),
        ),
        migrations.AddIndex(
            "paper",
            models.Index(django.db.models.functions.text.Left("title_key", 20), name="paper_title_begins"),
        ),
        migrations.AddIndex(
            "paper",
            models.Index(django.db.models.functions.text.Right("title_key", 20), name="paper_title_ends"),
        ),
        migrations.AddIndex(
            "paper",
            models.Index(
                papers.querysets.FirstAuthor("authors"), models.F("year"), name="paper_first_author"
            ),
        ),
    ]
