"""The groups of those who decide, and what finding twins needs."""

from django.db import migrations, models

GROUPS = ("moderators", "operators")


def add_groups(apps, schema_editor):
    for name in GROUPS:
        apps.get_model("auth", "Group").objects.get_or_create(name=name)


class Migration(migrations.Migration):
    dependencies = [
        ("papers", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.AddField(
            model_name="paper",
            name="details",
            field=models.JSONField(blank=True, default=dict, help_text="Other BibTeX fields, such as pages"),
        ),
        migrations.AddField(
            model_name="paper",
            name="title_key",
            field=models.CharField(
                db_index=True,
                default="",
                editable=False,
                help_text="How twins are found",
                max_length=200,
            ),
            preserve_default=False,
        ),
        migrations.RunPython(add_groups, migrations.RunPython.noop, elidable=False),
    ]
