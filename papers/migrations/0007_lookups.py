"""What is asked of other sites: turns, questions, proposed updates, saved queries, links."""

import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.fields.json
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('papers', '0006_suggestions'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Link',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('address', models.CharField(max_length=500, unique=True)),
                ('state', models.CharField(choices=[('new', 'not looked at yet'), ('works', 'Works'), ('closed', 'does not let programs look'), ('silent', 'did not answer'), ('broken', 'Broken')], default='new', max_length=10)),
                ('fault', models.TextField(blank=True)),
                ('checked', models.DateTimeField(null=True)),
                ('verified', models.DateTimeField(help_text='When it last worked', null=True)),
                ('misses', models.PositiveSmallIntegerField(default=0, help_text='Times in a row that it did not work')),
                ('next_try', models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='Lookup',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.CharField(max_length=10)),
                ('scheme', models.CharField(max_length=10)),
                ('value', models.CharField(max_length=500)),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('found', 'Found'), ('nothing', 'knows nothing of it'), ('failed', 'Failed')], default='waiting', max_length=10)),
                ('delivered', models.BooleanField(default=False, help_text='Papers that are here were compared with it')),
                ('facts', models.JSONField(help_text="The answer, in Paper's terms", null=True)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('fault', models.TextField(blank=True, help_text='What came of the last attempt, in a sentence')),
                ('tried', models.DateTimeField(null=True)),
                ('next_try', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='SavedQuery',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('text', models.CharField(help_text="In the language of arXiv's API: cat:cs.LG AND abs:quantization", max_length=500)),
                ('on', models.BooleanField(default=True)),
                ('tried', models.DateTimeField(null=True)),
                ('fault', models.TextField(blank=True)),
                ('next_try', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='Sighting',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('arxiv', models.CharField(max_length=40, unique=True)),
                ('seen', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name='Turn',
            fields=[
                ('name', models.CharField(max_length=40, primary_key=True, serialize=False)),
                ('free_at', models.DateTimeField()),
                ('holder', models.CharField(blank=True, max_length=16)),
                ('day', models.PositiveIntegerField(help_text='Days of UTC since 1970')),
                ('taken', models.PositiveIntegerField(help_text='Turns on that day')),
            ],
        ),
        migrations.CreateModel(
            name='Update',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('before', models.JSONField(help_text='What the paper said of these facts when this was seen')),
                ('after', models.JSONField(help_text='What it would say; of identifiers, those that it would gain')),
                ('digest', models.CharField(editable=False, help_text='Of `after`', max_length=64)),
                ('source', models.TextField(help_text='Who says so, in a sentence')),
                ('seen', models.DateTimeField(auto_now_add=True)),
                ('state', models.CharField(choices=[('pending', 'Pending'), ('accepted', 'Accepted'), ('declined', 'Declined')], default='pending', max_length=10)),
                ('decided', models.DateTimeField(null=True)),
                ('reason', models.TextField(blank=True)),
            ],
            options={
                'ordering': ['seen', 'pk'],
            },
        ),
        migrations.AddIndex(
            model_name='entry',
            index=models.Index(models.F('id'), condition=models.Q(('decision', 'pending'), ('found', 'incomplete')), name='entry_waits_for_metadata'),
        ),
        migrations.AddConstraint(
            model_name='link',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['new', 'works', 'closed', 'silent', 'broken'])), name='link_state_known'),
        ),
        migrations.AddIndex(
            model_name='lookup',
            index=models.Index(models.F('source'), models.F('next_try'), condition=models.Q(('state', 'waiting')), name='lookup_due'),
        ),
        migrations.AddIndex(
            model_name='lookup',
            index=django.contrib.postgres.indexes.GinIndex(django.contrib.postgres.indexes.OpClass(django.db.models.fields.json.KeyTransform('identifiers', 'facts'), name='jsonb_path_ops'), condition=models.Q(('scheme', 'arxiv'), ('state', 'found')), name='lookup_names'),
        ),
        migrations.AddIndex(
            model_name='lookup',
            index=models.Index(models.F('id'), condition=models.Q(('delivered', False), models.Q(('state', 'waiting'), _negated=True)), name='lookup_undelivered'),
        ),
        migrations.AddConstraint(
            model_name='lookup',
            constraint=models.UniqueConstraint(fields=('scheme', 'value', 'source'), name='lookup_asked_once'),
        ),
        migrations.AddConstraint(
            model_name='lookup',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['waiting', 'found', 'nothing', 'failed'])), name='lookup_state_known'),
        ),
        migrations.AddConstraint(
            model_name='lookup',
            constraint=models.CheckConstraint(condition=models.Q(('facts__isnull', False), models.Q(('state', 'found'), _negated=True), _connector='OR'), name='lookup_found_has_facts'),
        ),
        migrations.AddField(
            model_name='savedquery',
            name='changed_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='savedquery',
            name='technique',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, to='papers.technique'),
        ),
        migrations.AddField(
            model_name='sighting',
            name='query',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='sightings', to='papers.savedquery'),
        ),
        migrations.AddField(
            model_name='update',
            name='change',
            field=models.OneToOneField(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='papers.change'),
        ),
        migrations.AddField(
            model_name='update',
            name='decided_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='update',
            name='paper',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='updates', to='papers.paper'),
        ),
        migrations.AddConstraint(
            model_name='savedquery',
            constraint=models.UniqueConstraint(fields=('text',), name='saved_query_once'),
        ),
        migrations.AddConstraint(
            model_name='savedquery',
            constraint=models.CheckConstraint(condition=models.Q(('text', ''), _negated=True), name='saved_query_has_text'),
        ),
        migrations.AddConstraint(
            model_name='update',
            constraint=models.UniqueConstraint(fields=('paper', 'digest'), name='update_made_once'),
        ),
        migrations.AddConstraint(
            model_name='update',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['pending', 'accepted', 'declined'])), name='update_state_known'),
        ),
        migrations.AddConstraint(
            model_name='update',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('decided__isnull', True), ('state', 'pending')), models.Q(models.Q(('state', 'pending'), _negated=True), ('decided__isnull', False)), _connector='OR'), name='update_decided_iff_not_pending'),
        ),
        migrations.AddConstraint(
            model_name='update',
            constraint=models.CheckConstraint(condition=models.Q(('reason', ''), ('state', 'declined'), _negated=True), name='update_declined_with_reason'),
        ),
    ]
