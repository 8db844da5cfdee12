"""Moderation is the one door: who may decide, what each decision does, that it is kept, and that it is undone."""

import threading

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection

from papers import intake, moderation
from papers.facts import Facts
from papers.models import Change, Entry, Paper
from tests.making import bib_entry, make_claim, make_entry, make_facts, make_paper, make_technique

pytestmark = pytest.mark.django_db
DECISIONS = {
    "accept": lambda entry, paper, who: moderation.accept(entry, who=who, techniques=["sparse-sums"]),
    "merge": lambda entry, paper, who: moderation.merge(entry, paper, who=who),
    "reject": lambda entry, paper, who: moderation.reject(entry, who=who, reason="Not about models."),
    "edit": lambda entry, paper, who: moderation.edit(
        paper, {"year": 2023}, who=who, why="The year was wrong."
    ),
    "publish": lambda entry, paper, who: moderation.publish(
        make_facts(), who=who, why="Mine", origin="community"
    ),
}


def refusal(act, *args, **kwargs):
    """The sentence with which an act is refused, and proof that it wrote nothing."""
    before = Change.objects.count()
    with pytest.raises(moderation.Refused) as refused:
        act(*args, **kwargs)
    assert Change.objects.count() == before
    return str(refused.value)


@pytest.mark.parametrize("decision", DECISIONS)
def test_only_moderators_decide(decision, ada, ben):
    make_technique()
    entry, paper = make_entry(title="Something New"), make_paper()
    for who in (ben, None):
        sentence = refusal(DECISIONS[decision], entry, paper, who)
        assert sentence == "Only a moderator decides on papers and entries; ask one of them."
    DECISIONS[decision](entry, paper, ada)
    assert Change.objects.get().who == ada


def test_an_accepted_entry_is_a_paper_at_once(ada, ben):
    technique = make_technique()
    entry = make_entry(ben, eprint="2205.00001v2", keywords="sparse-sums", note="12 pages")
    paper = moderation.accept(entry, who=ada, techniques=[technique], why="Fits")
    stored = Paper.objects.get()
    assert stored == paper
    assert Facts.of(stored) == make_facts(
        key="invented2024adding",
        venue="arXiv",
        identifiers=[["arxiv", "2205.00001"]],
        techniques=["sparse-sums"],
        details={"note": "12 pages"},
    )
    assert stored.origin == "community"
    entry.refresh_from_db()
    assert (entry.decision, entry.decided_by, entry.decision_reason, entry.paper) == (
        "accepted",
        ada,
        "Fits",
        paper,
    )
    change = Change.objects.get()
    assert (change.action, change.subject, change.paper, change.who, change.why, change.before) == (
        *("accept", "paper invented2024adding", paper, ada, "Fits", None),
    )
    assert change.after == Facts.of(stored).to_json() | {"entry": entry.pk}


def test_keys_stay_unique(ada):
    make_technique()
    for text in (bib_entry(), bib_entry(title="Adding Nothing"), bib_entry(title="Adding Nothing at All")):
        moderation.accept(make_entry(text=text), who=ada, techniques=["sparse-sums"])
    keys = sorted(Paper.objects.values_list("key", flat=True))
    assert keys == ["invented2024adding", "invented2024addingnothing", "invented2024addingnothingall"]


def test_no_twins(ada):
    make_technique()
    first, second = intake.submit(bib_entry() + bib_entry(title="Adding up less!"), who=None).entries.all()
    moderation.accept(first, who=ada, techniques=["sparse-sums"])
    assert refusal(moderation.accept, second, who=ada, techniques=["sparse-sums"]) == (
        "It is already here as “Adding Up Less” (same title and first author); merge it with that paper."
    )


@pytest.mark.parametrize(
    ("techniques", "sentence"),
    [
        ([], "Choose at least one technique; without one nobody would find the paper."),
        (["sums"], "There is no technique sums."),
    ],
)
def test_accepting_needs_known_techniques(ada, techniques, sentence):
    assert refusal(moderation.accept, make_entry(), who=ada, techniques=techniques) == sentence


@pytest.mark.parametrize("decision", ["accept", "merge"])
def test_what_could_not_be_read_cannot_become_a_paper(ada, decision):
    make_technique()
    assert refusal(DECISIONS[decision], make_entry(title=None), make_paper(), ada) == (
        "This entry could not be read, so it can only be rejected; send it again without the fault."
    )


@pytest.mark.parametrize("decision", ["accept", "merge", "reject"])
def test_an_entry_is_decided_once(ada, decision):
    make_technique()
    entry, paper = make_entry(), make_paper()
    moderation.reject(entry, who=ada, reason="Off topic")
    sentence = refusal(DECISIONS[decision], entry, paper, ada)
    decided = Entry.objects.get().decided
    assert sentence == f"Already rejected by ada on {decided:%d %B %Y at %H:%M} UTC."


def test_merging_fills_what_is_empty_and_overwrites_nothing(ada):
    paper = make_paper(venue="NoConf", identifiers=[("arxiv", "2205.00001")], details={"volume": "1"})
    entry = make_entry(
        title="Another Title",
        booktitle="OtherConf",
        doi="10.5555/x",
        abstract="Yes.",
        volume="2",
        pages="3",
    )
    added = moderation.additions(Facts.from_json(entry.fields), paper)
    assert added == {
        "abstract": "Yes.",
        "details": {"volume": "1", "pages": "3"},
        "identifiers": [["arxiv", "2205.00001"], ["doi", "10.5555/x"]],
    }
    before = Facts.of(paper)
    moderation.merge(entry, paper, who=ada, why="The published version")
    after = Facts.of(Paper.objects.get())
    assert after.to_json() == before.to_json() | added
    change = Change.objects.get()
    assert (change.action, change.before, change.after) == (
        "merge",
        {"abstract": "", "details": {"volume": "1"}, "identifiers": [["arxiv", "2205.00001"]]},
        added | {"entry": entry.pk},
    )
    entry.refresh_from_db()
    assert (entry.decision, entry.paper) == ("merged", paper)


def test_merging_never_takes_a_name_from_another_paper(ada):
    paper, other = make_paper(), make_paper(title="The Other", identifiers=[("doi", "10.5555/x")])
    assert refusal(moderation.merge, make_entry(doi="10.5555/X"), paper, who=ada) == (
        f"The DOI 10.5555/x names another paper here: “{other.title}”."
    )


def test_rejecting_needs_a_reason(ada):
    assert refusal(moderation.reject, make_entry(), who=ada, reason=" ") == (
        "Give the reason; the submitter will read it."
    )


def test_a_rejected_entry_is_reopened_and_can_be_accepted(ada):
    make_technique()
    entry = make_entry()
    moderation.reject(entry, who=ada, reason="Off topic")
    moderation.reopen(entry, who=ada, why="It is not")
    moderation.accept(entry, who=ada, techniques=["sparse-sums"])
    assert [*Change.objects.order_by("pk").values_list("action", flat=True)] == ["reject", "undo", "accept"]


def test_an_edit_is_kept_and_undone_once(ada):
    make_technique(slug="other", position=1)
    paper = make_paper(techniques=[make_technique()], identifiers=[("arxiv", "2205.00001")])
    before = Facts.of(paper)
    values = {
        "title": "Corrected",
        "techniques": ["other"],
        "identifiers": [["doi", "10.5555/x"]],
        "year": 2024,
    }
    change = moderation.edit(paper, values, who=ada, why="See the paper")
    assert set(change.after) == {"title", "techniques", "identifiers"}
    assert Facts.of(Paper.objects.get()).to_json() == before.to_json() | values
    undone = moderation.undo(change, who=ada, why="A mistake")
    assert Facts.of(Paper.objects.get()) == before
    assert (undone.undoes, undone.before, undone.after) == (change, change.after, change.before)
    assert refusal(moderation.undo, change, who=ada, why="Again") == (
        f"Already undone on {undone.when:%d %B %Y at %H:%M} UTC."
    )
    assert refusal(moderation.undo, undone, who=ada, why="Again") == (
        "An undo is not undone; make the change again."
    )


def test_undoing_does_not_run_over_later_changes(ada):
    paper = make_paper()
    first = moderation.edit(paper, {"title": "One", "year": 2020}, who=ada, why="1")
    moderation.edit(paper, {"title": "Two"}, who=ada, why="2")
    assert refusal(moderation.undo, first, who=ada, why="3") == (
        "title was changed again since; undo the later change first."
    )


def test_undoing_an_acceptance_takes_the_paper_back(ada):
    make_technique()
    entry = make_entry()
    moderation.accept(entry, who=ada, techniques=["sparse-sums"])
    undone = moderation.undo(Change.objects.get(), who=ada, why="Too early")
    assert not Paper.objects.exists()
    assert (undone.subject, undone.paper) == ("paper invented2024adding", None)
    entry.refresh_from_db()
    assert (entry.decision, entry.paper) == ("pending", None)


def test_undoing_a_merge_takes_back_what_it_gave(ada):
    paper = make_paper()
    before, entry = Facts.of(paper), make_entry(title="Other", doi="10.5555/x", abstract="Yes.")
    moderation.merge(entry, paper, who=ada)
    moderation.undo(Change.objects.get(), who=ada, why="Another paper")
    entry.refresh_from_db()
    assert (Facts.of(Paper.objects.get()), entry.decision) == (before, "pending")


def test_a_paper_with_claims_stays(ada):
    make_technique()
    paper = moderation.accept(make_entry(), who=ada, techniques=["sparse-sums"])
    make_claim(paper)
    assert refusal(moderation.undo, Change.objects.get(), who=ada, why="Oh") == (
        "Claims or later changes hang on this paper; undo those first."
    )


def test_a_refused_decision_leaves_the_entry_as_it_was(ada):
    entry = make_entry()
    refusal(moderation.accept, entry, who=ada, techniques=["none"])
    assert (Entry.objects.get().decision, Paper.objects.count()) == ("pending", 0)


def decide_at_once(acts):
    """Run acts in threads that begin together; the sentences of those that were refused."""
    refused, gate = [], threading.Barrier(len(acts))

    def run(act):
        gate.wait()
        try:
            act()
        except moderation.Refused as sentence:
            refused.append(str(sentence))
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[act]) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return refused


@pytest.fixture
def moderators(transactional_db):
    group, _ = Group.objects.get_or_create(name="moderators")
    users = [User.objects.create(username=name) for name in ("ada", "adam")]
    group.user_set.set(users)
    return users


def test_two_moderators_at_once_decide_once(moderators):
    make_technique()
    entry = make_entry()
    acts = [
        lambda who=who: moderation.accept(entry, who=who, techniques=["sparse-sums"]) for who in moderators
    ]
    refused = decide_at_once(acts)
    entry.refresh_from_db()
    assert refused == [f"Already accepted by {entry.decided_by} on {entry.decided:%d %B %Y at %H:%M} UTC."]
    assert (Paper.objects.count(), Change.objects.count()) == (1, 1)


def test_two_entries_of_one_paper_at_once_make_no_twins(moderators):
    make_technique()
    entries = [make_entry(), make_entry(title="Adding up, less")]
    acts = [
        lambda entry=entry, who=who: moderation.accept(entry, who=who, techniques=["sparse-sums"])
        for entry, who in zip(entries, moderators, strict=True)
    ]
    refused = decide_at_once(acts)
    paper = Paper.objects.get()
    assert refused == [
        f"It is already here as “{paper.title}” (same title and first author); merge it with that paper."
    ]


def test_two_papers_that_want_one_key_at_once_both_get_one(moderators):
    make_technique()
    entries = [make_entry(title="Adding Apples"), make_entry(title="Adding Pears")]
    acts = [
        lambda entry=entry, who=who: moderation.accept(entry, who=who, techniques=["sparse-sums"])
        for entry, who in zip(entries, moderators, strict=True)
    ]
    assert decide_at_once(acts) == []
    keys = set(Paper.objects.values_list("key", flat=True))
    assert keys in (
        {"invented2024adding", "invented2024addingapples"},
        {"invented2024adding", "invented2024addingpears"},
    )
