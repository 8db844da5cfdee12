"""The shipped corpus: complete, loaded again and again without a trace, and never over a moderator's change."""

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Q
from django.test.utils import CaptureQueriesContext

from papers import corpus_files, curation, identity, moderation
from papers.facts import Facts
from papers.models import AXES, Change, Claim, Paper, Technique
from tests.making import make_facts, make_paper

SHIPPED_CLAIMS = (corpus_files.SHIPPED / "claims.toml").read_text()
CLAIMS = SHIPPED_CLAIMS.count("\n[[")

CLAIM = {
    **{"slug": "speedup_x", "metric": "speedup_x", "value": 2.0, "low": 1.5, "high": 2.5, "unit": "x"},
    **{"better": "higher", "baseline": "dense sums", "setting": "one abacus", "locator": "Table 1"},
    **{"verified": True, "source_kind": "verbatim-copy", "range_kind": "editor"},
}


def small_corpus(folder, facts=None, claims=None):
    """One paper and its claim, on the axis architecture, as files."""
    techniques = [corpus_files.Technique(f"sums-{axis}", f"Sums of {axis}", axis) for axis in AXES]
    given = make_facts(key="invented2024adding", identifiers=[["arxiv", "2205.00001"]], venue="arXiv")
    given.techniques = ["sums-architecture"]
    given = facts or given
    (folder / "taxonomy.toml").write_text(corpus_files.write_taxonomy(techniques))
    for axis in AXES:
        here = [given] if axis == "architecture" else []
        (folder / f"{axis}.bib").write_text(corpus_files.write_bib(axis, here))
    (folder / "claims.toml").write_text(corpus_files.write_claims([(given, claims or [CLAIM])]))
    return given


def load(folder):
    return curation.load(corpus_files.read(folder), lambda what, done, total: None)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.django_db
def test_the_shipped_corpus_loads_exports_to_the_same_bytes_and_loads_again_without_a_write(tmp_path, capsys):
    call_command("load_corpus")
    assert capsys.readouterr().out == (
        f"Corpus: 1,732 papers (1,732 new, 0 brought up to date), {CLAIMS} claims ({CLAIMS} new, 0 brought up to date).\n"
    )
    assert (Paper.objects.count(), Claim.objects.count(), Technique.objects.count()) == (1732, CLAIMS, 46)
    recalled = Q(sources__contains="known")
    assert set(Paper.objects.filter(verified=False)) == set(Paper.objects.filter(recalled))
    assert Claim.objects.filter(verified=False).count() == SHIPPED_CLAIMS.count("\nverified = false\n")
    assert Paper.objects.filter(authors_complete=False).count() == 56
    assert identity.resolve("arxiv", "2205.14135v2").claims.filter(slug="speedup_x-2").count() == 1

    call_command("write_corpus", tmp_path)
    assert files(tmp_path) == files(corpus_files.SHIPPED)

    capsys.readouterr()
    with CaptureQueriesContext(connection) as queries:
        call_command("load_corpus")
    assert capsys.readouterr().out == f"Corpus: 1,732 papers (unchanged), {CLAIMS} claims (unchanged).\n"
    verbs = {query["sql"].split()[0] for query in queries.captured_queries}
    assert verbs == {"SAVEPOINT", "SELECT", "RELEASE"}


@pytest.mark.django_db
def test_every_loaded_paper_and_claim_has_its_change(tmp_path):
    small_corpus(tmp_path)
    assert load(tmp_path) == curation.Loaded(papers=1, new=1, claims=1, new_claims=1)
    assert [*Change.objects.order_by("pk").values_list("action", "subject", "who", "before")] == [
        ("load", "paper invented2024adding", None, None),
        ("load", "claim invented2024adding/speedup_x", None, None),
    ]
    claim = Claim.objects.get()
    assert (claim.kind, claim.provenance, claim.range_printed, claim.setting) == (
        *("ratio", "curated", False, "one abacus"),
    )


@pytest.mark.django_db
def test_changed_files_update_what_nobody_edited(tmp_path):
    facts = small_corpus(tmp_path)
    load(tmp_path)
    facts.title, facts.identifiers = "Adding Up Still Less", [["arxiv", "2205.00001"], ["doi", "10.5555/x"]]
    small_corpus(tmp_path, facts, [CLAIM | {"value": 2.25}])
    assert load(tmp_path) == curation.Loaded(papers=1, revised=1, claims=1, revised_claims=1)
    assert Facts.of(Paper.objects.get()) == facts
    assert Claim.objects.get().value == 2.25
    assert load(tmp_path) == curation.Loaded(papers=1, claims=1)
    assert Paper.objects.get().changes.filter(action="load").count() == 4


@pytest.mark.django_db
def test_a_moderators_edit_is_not_overwritten_until_it_is_undone(tmp_path, ada):
    facts = small_corpus(tmp_path)
    load(tmp_path)
    edit = moderation.edit(Paper.objects.get(), {"venue": "NoConf"}, who=ada, why="Published")
    assert load(tmp_path) == curation.Loaded(papers=1, kept=1, claims=1)
    assert Paper.objects.get().venue == "NoConf"
    moderation.undo(edit, who=ada, why="Not there")
    facts.venue, facts.kind = "OtherConf", "inproceedings"
    small_corpus(tmp_path, facts)
    assert load(tmp_path) == curation.Loaded(papers=1, revised=1, claims=1)
    assert Paper.objects.get().venue == "OtherConf"


@pytest.mark.django_db
def test_what_moderators_removed_stays_removed(tmp_path, ada):
    small_corpus(tmp_path)
    load(tmp_path)
    for change in Change.objects.order_by("-pk"):
        moderation.undo(change, who=ada, why="Not about models")
    assert load(tmp_path) == curation.Loaded(papers=1, kept=1, claims=1)
    assert (Paper.objects.count(), Claim.objects.count()) == (0, 0)


@pytest.mark.django_db
def test_a_paper_of_the_community_keeps_its_key_and_gets_the_claims(tmp_path):
    small_corpus(tmp_path)
    paper = make_paper(key="mine2024", title="As I Call It", identifiers=[("arxiv", "2205.00001")])
    assert load(tmp_path) == curation.Loaded(papers=1, kept=1, claims=1, new_claims=1)
    assert (Paper.objects.get().title, Claim.objects.get().paper) == ("As I Call It", paper)


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("taxonomy.toml", "[data]", "[date]", "taxonomy.toml: date is not one of the axes {axes}."),
        (
            "taxonomy.toml",
            "[data]",
            "[data",
            "taxonomy.toml: Expected ']' at the end of a table declaration (at line 4, column 6).",
        ),
        (
            "architecture.bib",
            "  title = {Adding Up Less},\n",
            "",
            "architecture.bib: invented2024adding: line 5: no title; add title = {...}.",
        ),
        (
            "architecture.bib",
            "{sums-architecture}",
            "{cooking}",
            "architecture.bib: invented2024adding: keywords name no technique of taxonomy.toml.",
        ),
        (
            "architecture.bib",
            "{sums-architecture}",
            "{sums-data}",
            "architecture.bib: invented2024adding: belongs into data.bib, by its first technique.",
        ),
        (
            "architecture.bib",
            "invented2024adding",
            "Invented:2024",
            "architecture.bib: Invented:2024: its key is not made of small letters and digits.",
        ),
        (
            "architecture.bib",
            "  url =",
            "  colour = {red},\n  url =",
            "architecture.bib: invented2024adding: line 5: fields that have no place here were left out: colour.",
        ),
        (
            "claims.toml",
            "speedup_x",
            "speedup",
            "claims.toml: arxiv:2205.00001: speedup: the vocabulary has no metric speedup.",
        ),
        (
            "claims.toml",
            'slug = "speedup_x"',
            'slug = "faster"',
            "claims.toml: arxiv:2205.00001: faster: must be called speedup_x, after its metric.",
        ),
        (
            "claims.toml",
            "value = 2.0",
            "value = 3.0",
            "claims.toml: arxiv:2205.00001: speedup_x: value is not within low and high.",
        ),
        (
            "claims.toml",
            "value = 2.0",
            "value = true",
            "claims.toml: arxiv:2205.00001: speedup_x: missing, of a wrong type or unknown: value.",
        ),
        (
            "claims.toml",
            "verified = true",
            "verified = true\nproof = 1",
            "claims.toml: arxiv:2205.00001: speedup_x: missing, of a wrong type or unknown: proof.",
        ),
        (
            "claims.toml",
            "2205.00001",
            "2205.00002",
            "claims.toml: arxiv:2205.00002: no paper of the corpus is called that.",
        ),
        (
            "architecture.bib",
            "year = {2024},",
            "year = {2024}",
            "architecture.bib: invented2024adding: line 8: year: a comma is missing before “keywords = {sums-architecture}”.",
        ),
        (
            "architecture.bib",
            "@misc{invented2024adding,",
            "@misc{invented2024adding",
            "architecture.bib: @misc{invented2024adding: line 6: a comma must follow the key of “@misc{invented2024adding”.",
        ),
        (
            "architecture.bib",
            "  url =",
            "  spectrum-verified = {maybe},\n  url =",
            "architecture.bib: invented2024adding: line 12: “maybe” was read as spectrum-verified = no.",
        ),
        (
            "architecture.bib",
            "  url =",
            "  spectrum-ids = {abc},\n  url =",
            "architecture.bib: invented2024adding: line 12: spectrum-ids: "
            '"abc" is not one of the schemes arxiv, doi, openreview, acl, url. It was left out.',
        ),
        (
            "taxonomy.toml",
            '"Sums of data"',
            '"Sums\\u0000"',
            'taxonomy.toml: data.sums-data: write slug = "Name", at most 100 letters.',
        ),
        (
            "claims.toml",
            '[["arxiv:2205.00001"]]',
            '["arxiv:2205.00001"]',
            'claims.toml: arxiv:2205.00001: begin each of its claims with [["arxiv:2205.00001"]].',
        ),
        (
            "claims.toml",
            '[["arxiv:2205.00001"]]',
            '"key:invented2024adding" = ["fast"]\n[["arxiv:2205.00001"]]',
            'claims.toml: key:invented2024adding: begin each of its claims with [["key:invented2024adding"]].',
        ),
        (
            "claims.toml",
            "high = 2.5",
            "high = inf",
            "claims.toml: arxiv:2205.00001: speedup_x: low and high are finite numbers.",
        ),
        (
            "claims.toml",
            "high = 2.5",
            f"high = 1{'0' * 400}",
            "claims.toml: arxiv:2205.00001: speedup_x: low and high are finite numbers.",
        ),
        (
            "claims.toml",
            '"dense sums"',
            '"dense\\u0000sums"',
            "claims.toml: arxiv:2205.00001: speedup_x: baseline holds a sign that cannot be printed.",
        ),
        (
            "claims.toml",
            '"Table 1"',
            '"  "',
            "claims.toml: arxiv:2205.00001: speedup_x: locator is empty; say where the paper says so.",
        ),
    ],
)
def test_every_fault_is_named_by_file_and_entry(tmp_path, file, old, new, fault):
    small_corpus(tmp_path)
    path = tmp_path / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert fault.replace("{axes}", ", ".join(AXES)) in corpus_files.read(tmp_path).faults


def test_twins_and_missing_files_are_faults(tmp_path):
    small_corpus(tmp_path)
    path = tmp_path / "architecture.bib"
    path.write_text(
        path.read_text() + "\n" + path.read_text().split("\n\n", 1)[1].replace("adding,", "again,")
    )
    (tmp_path / "data.bib").unlink()
    (tmp_path / "cooking.bib").write_text("")
    assert corpus_files.read(tmp_path).faults == [
        "data.bib: No such file or directory.",
        "architecture.bib: invented2024again: is the paper invented2024adding again: same arXiv id, 2205.00001.",
        "cooking.bib: no axis is called that.",
    ]


def test_claims_under_two_names_of_one_paper_are_one_list(tmp_path):
    small_corpus(tmp_path)
    path = tmp_path / "claims.toml"
    path.write_text(path.read_text() + path.read_text().replace("arxiv:2205.00001", "key:invented2024adding"))
    assert corpus_files.read(tmp_path).faults == [
        "claims.toml: key:invented2024adding: speedup_x: must be called speedup_x-2, after its metric."
    ]


def check_without_database(*arguments):
    """`manage.py load_corpus --check` where no database answers."""
    return subprocess.run(
        [sys.executable, "manage.py", "load_corpus", "--check", *map(str, arguments)],
        cwd=settings.BASE_DIR,
        env=os.environ | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none", "SECRET_KEY": "x"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_checking_needs_no_database(tmp_path):
    checked = check_without_database()
    assert (checked.returncode, checked.stdout) == (
        0,
        f"Corpus: 1,732 papers and {CLAIMS} claims, no fault.\n",
    )
    small_corpus(tmp_path, claims=[CLAIM | {"locator": ""}])
    checked = check_without_database("--folder", tmp_path)
    assert (checked.returncode, checked.stderr) == (
        1,
        "CommandError: claims.toml: arxiv:2205.00001: speedup_x: locator is empty; say where the paper says so.\n"
        "Nothing was loaded.\n",
    )


@pytest.mark.django_db
def test_a_faulty_corpus_is_not_loaded(tmp_path):
    small_corpus(tmp_path, claims=[CLAIM | {"better": "taller"}])
    with pytest.raises(CommandError):
        call_command("load_corpus", folder=tmp_path)
    assert Paper.objects.count() == 0


@pytest.mark.django_db
def test_the_admin_is_made_once_with_a_secret_of_its_own(tmp_path, settings, capsys):
    settings.VAR = tmp_path / "var"
    call_command("make_admin")
    path = settings.VAR / "admin-password"
    password = path.read_text().strip()
    admin = User.objects.get()
    assert (admin.username, admin.is_superuser, admin.check_password(password)) == ("admin", True, True)
    assert sorted(admin.groups.values_list("name", flat=True)) == ["moderators", "operators"]
    assert path.stat().st_mode & 0o777 == 0o600
    call_command("make_admin")
    assert path.read_text().strip() == password
    assert password not in capsys.readouterr().out
    assert moderation.may_moderate(admin)
