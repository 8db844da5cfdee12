"""Triggers that note which papers a change concerns, so that no writer can forget to.

A run counts once it is done: its heartbeats and its log touch nothing.
"""

from django.db import migrations

# Lines are only added: two transactions that change one paper never wait for each other here.
FUNCTIONS = """
CREATE FUNCTION explorer_note(concerned bigint) RETURNS void LANGUAGE sql AS $$
INSERT INTO explorer_touched (paper_id, stamp)
SELECT concerned, now FROM (SELECT pg_current_xact_id()::text::bigint AS now) this
WHERE concerned IS NOT NULL
  AND NOT EXISTS (SELECT FROM explorer_touched WHERE stamp = this.now AND paper_id = concerned)
$$;
CREATE FUNCTION explorer_touch_paper() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM explorer_note(OLD.id);
  PERFORM explorer_note(NEW.id);
  RETURN NULL;
END $$;
CREATE FUNCTION explorer_touch_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM explorer_note(OLD.paper_id);
  PERFORM explorer_note(NEW.paper_id);
  RETURN NULL;
END $$;
CREATE FUNCTION explorer_touch_measured() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM explorer_note(paper_id) FROM reproduce_run WHERE id IN (OLD.run_id, NEW.run_id);
  RETURN NULL;
END $$;
CREATE FUNCTION explorer_touch_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO explorer_touched (paper_id, stamp) VALUES (NULL, pg_current_xact_id()::text::bigint);
  RETURN NULL;
END $$;
-- Bitmaps are compact already: no time is to be lost on compressing them.
ALTER TABLE explorer_posting ALTER bitmap SET STORAGE EXTERNAL;
"""
ANY = "INSERT OR UPDATE OR DELETE"
TRIGGERS = [
    ("touch", ANY, "papers_paper", "ROW", "paper"),
    ("touch", ANY, "papers_paper_techniques", "ROW", "owner"),
    ("touch", ANY, "papers_identifier", "ROW", "owner"),
    ("touch", ANY, "papers_claim", "ROW", "owner"),
    ("touch_new", "INSERT", "reproduce_run", "ROW WHEN (NEW.status = 'done')", "owner"),
    ("touch_gone", "DELETE", "reproduce_run", "ROW WHEN (OLD.status = 'done')", "owner"),
    (
        "touch_changed",
        "UPDATE OF status, preset, origin, paper_id, device_name",
        "reproduce_run",
        "ROW WHEN (NEW.status = 'done' OR OLD.status = 'done')",
        "owner",
    ),
    ("touch", ANY, "reproduce_measurement", "ROW", "measured"),
    ("touch", ANY, "papers_technique", "STATEMENT", "all"),
]
TABLES = sorted({table for _, _, table, _, _ in TRIGGERS})
TRIGGERS += [("touch_emptied", "TRUNCATE", table, "STATEMENT", "all") for table in TABLES]
MAKE = "CREATE TRIGGER {} AFTER {} ON {} FOR EACH {} EXECUTE FUNCTION explorer_touch_{}();"
DROP = "DROP TRIGGER {} ON {};"
DROP_FUNCTIONS = "".join(
    f"DROP FUNCTION explorer_{name};"
    for name in (
        "touch_paper()",
        "touch_owner()",
        "touch_measured()",
        "touch_all()",
        "note(bigint)",
    )
)


class Migration(migrations.Migration):
    dependencies = [
        ("explorer", "0002_index"),
        ("papers", "0003_folded_search"),
        ("reproduce", "0002_pool"),
    ]
    operations = [
        migrations.RunSQL(
            FUNCTIONS + "".join(MAKE.format(*trigger) for trigger in TRIGGERS),
            "".join(DROP.format(name, table) for name, _, table, _, _ in TRIGGERS) + DROP_FUNCTIONS,
        )
    ]
