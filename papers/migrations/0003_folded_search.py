"""Search compares texts without their accents: Jonesová is found by jonesova, Łukasz by lukasz."""

import django.contrib.postgres.indexes
import django.contrib.postgres.search
from django.db import migrations, models

import papers.querysets

FOLDED = """
CREATE FUNCTION spectrum_folded(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
SELECT CASE WHEN octet_length($1) = length($1) THEN $1 ELSE
  replace(replace(replace(replace(replace(replace(
    translate(regexp_replace(normalize($1, NFKD), '[\\u0300-\\u036f]', '', 'g'), 'ØøŁłĐđÐðıĦħ', 'OoLlDdDdiHh'),
    'ß', 'ss'), 'Æ', 'AE'), 'æ', 'ae'), 'Œ', 'OE'), 'œ', 'oe'), 'þ', 'th')
END
$$
"""


class Migration(migrations.Migration):
    dependencies = [("papers", "0002_moderators_and_twins")]
    operations = [
        migrations.RunSQL(FOLDED, "DROP FUNCTION spectrum_folded(text)"),
        migrations.RemoveIndex("paper", "paper_search"),
        migrations.RemoveField("paper", "search"),
        migrations.AddField(
            "paper",
            "search",
            models.GeneratedField(
                db_persist=True,
                expression=django.contrib.postgres.search.CombinedSearchVector(
                    django.contrib.postgres.search.CombinedSearchVector(
                        django.contrib.postgres.search.SearchVector(
                            papers.querysets.Folded("title"), config="english", weight="A"
                        ),
                        "||",
                        django.contrib.postgres.search.SearchVector(
                            papers.querysets.Folded("authors"), config="simple", weight="B"
                        ),
                        django.contrib.postgres.search.SearchConfig("english"),
                    ),
                    "||",
                    django.contrib.postgres.search.SearchVector(
                        papers.querysets.Folded("abstract"), config="english", weight="C"
                    ),
                    django.contrib.postgres.search.SearchConfig("english"),
                ),
                output_field=django.contrib.postgres.search.SearchVectorField(),
            ),
        ),
        migrations.AddIndex(
            "paper", django.contrib.postgres.indexes.GinIndex(fields=["search"], name="paper_search")
        ),
    ]
