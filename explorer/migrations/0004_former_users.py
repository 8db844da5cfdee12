"""Who has left stays so: a request that began before cannot write the person back."""

from django.db import migrations

# A page that loaded the account before it was deleted, and saves it whole afterwards, would restore the name.
STAYS = """
CREATE FUNCTION explorer_former_stays() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$;
CREATE TRIGGER former_stays BEFORE UPDATE ON auth_user FOR EACH ROW
WHEN (OLD.username LIKE 'former user %') EXECUTE FUNCTION explorer_former_stays();
"""
# Waits for a deletion that goes on, and sees the name that it gave.
NOTHING_NEW = """
CREATE FUNCTION explorer_former_gets_nothing() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE name text;
BEGIN
  SELECT username INTO name FROM auth_user WHERE id = NEW.user_id FOR KEY SHARE;
  IF name LIKE 'former user %' THEN
    RAISE EXCEPTION 'this account has been deleted' USING ERRCODE = 'foreign_key_violation';
  END IF;
  RETURN NEW;
END $$;
"""
TABLES = ("account_emailaddress", "socialaccount_socialaccount", "explorer_apitoken", "auth_user_groups")
ON_TABLES = "".join(
    f"CREATE TRIGGER former_gets_nothing BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW "
    "EXECUTE FUNCTION explorer_former_gets_nothing();\n"
    for table in TABLES
)
BACK = "".join(f"DROP TRIGGER former_gets_nothing ON {table};\n" for table in TABLES) + """
DROP FUNCTION explorer_former_gets_nothing();
DROP TRIGGER former_stays ON auth_user;
DROP FUNCTION explorer_former_stays();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("explorer", "0003_touches"),
        ("papers", "0009_roles"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("account", "0009_emailaddress_unique_primary_email"),
        ("socialaccount", "0006_alter_socialaccount_extra_data"),
    ]

    operations = [migrations.RunSQL(STAYS + NOTHING_NEW + ON_TABLES, BACK)]
