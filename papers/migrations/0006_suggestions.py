"""Where the model that suggests techniques is kept."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("papers", "0005_possible_duplicates")]
    operations = [
        migrations.CreateModel(
            name="Learnt",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("weights", models.TextField(help_text="What papers/suggestions.py reads: JSON")),
                ("corpus", models.CharField(help_text="SHA-256 of what it was trained on", max_length=64)),
                ("papers", models.PositiveIntegerField(help_text="How many papers that was")),
                ("trained", models.DateTimeField(auto_now=True)),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=models.Q(id=1), name="learnt_once")],
            },
        ),
    ]
