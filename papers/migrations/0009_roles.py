"""The log of roles, and the group of those who may only read."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def add_group(apps, schema_editor):
    apps.get_model("auth", "Group").objects.get_or_create(name="readers")


class Migration(migrations.Migration):
    dependencies = [
        ("papers", "0008_claims_of_readers"),
        ("auth", "0012_alter_user_first_name_max_length"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="RoleChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("role", models.CharField(max_length=10)),
                ("given", models.BooleanField()),
                ("when", models.DateTimeField(auto_now_add=True)),
                ("why", models.CharField(max_length=300)),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="role_changes",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "who",
                    models.ForeignKey(
                        help_text="Empty: from the command line",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(role__in=["submitter", "moderator", "operator"]),
                        name="role_change_known",
                    )
                ],
            },
        ),
        migrations.RunPython(add_group, migrations.RunPython.noop, elidable=False),
    ]
