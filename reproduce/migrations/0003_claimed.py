"""A measurement keeps the claim that it was judged by, as it stood then; and a claim so used is not removed."""

import django.db.models.deletion
from django.db import migrations, models

# Of what was judged before this, the claim as it stands now is all that is known.
FILL = """
UPDATE reproduce_measurement m SET claimed = jsonb_build_object(
  'metric', c.metric, 'kind', c.kind, 'value', c.value, 'low', c.low, 'high', c.high,
  'range_printed', c.range_printed, 'unit', c.unit, 'better', c.better, 'baseline', c.baseline,
  'setting', c.setting, 'locator', c.locator)
FROM papers_claim c WHERE c.id = m.claim_id
"""


class Migration(migrations.Migration):
    dependencies = [("reproduce", "0002_pool"), ("papers", "0008_claims_of_readers")]
    operations = [
        migrations.AddField(
            "measurement",
            "claimed",
            models.JSONField(help_text="The claim as it stood when this was judged by it", null=True),
        ),
        migrations.AlterField(
            "measurement",
            "claim",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="measurements",
                to="papers.claim",
            ),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
