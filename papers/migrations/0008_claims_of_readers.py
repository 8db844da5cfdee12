"""Claims that readers propose; and a submission's one e-mail."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# Whoever sent something in before this knew of no e-mail: none comes now for what was decided long ago.
LONG_AGO = """
UPDATE papers_submission s SET told = now() WHERE NOT EXISTS (
  SELECT FROM papers_entry e WHERE e.submission_id = s.id AND e.decision = 'pending' AND e.found <> 'invalid')
"""


class Migration(migrations.Migration):

    dependencies = [
        ('papers', '0007_lookups'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ClaimProposal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('metric', models.CharField(max_length=40)),
                ('kind', models.CharField(choices=[('ratio', 'Ratio'), ('absolute', 'Absolute')], max_length=10)),
                ('value', models.FloatField()),
                ('low', models.FloatField()),
                ('high', models.FloatField()),
                ('range_printed', models.BooleanField(help_text='The paper itself prints the range; else an editor chose it')),
                ('unit', models.CharField(max_length=120)),
                ('better', models.CharField(choices=[('higher', 'Higher'), ('lower', 'Lower'), ('either', 'Either')], max_length=10)),
                ('baseline', models.CharField(blank=True, max_length=300)),
                ('setting', models.CharField(blank=True, max_length=500)),
                ('locator', models.CharField(help_text='Where the paper says so: a table, a figure, a section', max_length=300)),
                ('basis', models.JSONField(help_text='The claim as it stood when its correction was proposed; none for a new claim', null=True)),
                ('why', models.TextField()),
                ('by_author', models.BooleanField(default=False, help_text='Whoever proposed it says that they are an author of the paper')),
                ('created', models.DateTimeField(auto_now_add=True)),
                ('decision', models.CharField(choices=[('pending', 'Pending'), ('accepted', 'Accepted'), ('rejected', 'Rejected')], default='pending', max_length=10)),
                ('decision_reason', models.TextField(blank=True)),
                ('decided', models.DateTimeField(null=True)),
            ],
            options={
                'ordering': ['created', 'pk'],
                'abstract': False,
            },
        ),
        migrations.AddField(
            model_name='submission',
            name='told',
            field=models.DateTimeField(help_text="When the submitter's one e-mail about it was taken up", null=True),
        ),
        migrations.AddIndex(
            model_name='submission',
            index=models.Index(condition=models.Q(('told', None)), fields=['id'], name='submission_untold'),
        ),
        migrations.AddField(
            model_name='claimproposal',
            name='claim',
            field=models.ForeignKey(help_text='What it corrects, or what it became', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='proposals', to='papers.claim'),
        ),
        migrations.AddField(
            model_name='claimproposal',
            name='decided_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='claimproposal',
            name='paper',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='claim_proposals', to='papers.paper'),
        ),
        migrations.AddField(
            model_name='claimproposal',
            name='proposed_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='claim_proposals', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            model_name='claimproposal',
            constraint=models.CheckConstraint(condition=models.Q(('high__gte', models.F('value')), ('low__lte', models.F('value'))), name='claimproposal_within_its_range'),
        ),
        migrations.AddConstraint(
            model_name='claimproposal',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['ratio', 'absolute'])), name='claimproposal_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='claimproposal',
            constraint=models.CheckConstraint(condition=models.Q(('better__in', ['higher', 'lower', 'either'])), name='claimproposal_better_known'),
        ),
        migrations.AddConstraint(
            model_name='claimproposal',
            constraint=models.CheckConstraint(condition=models.Q(('locator', ''), _negated=True), name='claimproposal_has_locator'),
        ),
        migrations.AddConstraint(
            model_name='claimproposal',
            constraint=models.CheckConstraint(condition=models.Q(('why', ''), _negated=True), name='claimproposal_says_why'),
        ),
        migrations.AddConstraint(
            model_name='claimproposal',
            constraint=models.CheckConstraint(condition=models.Q(('decision__in', ['pending', 'accepted', 'rejected'])), name='claimproposal_decision_known'),
        ),
        migrations.AddConstraint(
            model_name='claimproposal',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('decided__isnull', True), ('decision', 'pending')), models.Q(models.Q(('decision', 'pending'), _negated=True), ('decided__isnull', False)), _connector='OR'), name='claimproposal_decided_iff_not_pending'),
        ),
        migrations.AddConstraint(
            model_name='claimproposal',
            constraint=models.CheckConstraint(condition=models.Q(('decision', 'rejected'), ('decision_reason', ''), _negated=True), name='claimproposal_rejected_with_reason'),
        ),
        migrations.AlterModelOptions(
            "entry", {"ordering": ["submission_id", "position"], "verbose_name_plural": "entries"}
        ),
        migrations.RunSQL(LONG_AGO, migrations.RunSQL.noop),
    ]
