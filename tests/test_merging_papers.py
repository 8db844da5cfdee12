"""Two papers that are one: everything moves, old addresses lead on for ever, and one undo takes it all back."""

import threading

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection

from papers import curation, moderation
from papers.corpus_files import Corpus
from papers.facts import Facts
from papers.models import Change, Claim, FormerKey, Paper
from tests.making import make_claim, make_entry, make_facts, make_paper, make_technique
from tests.making_runs import make_measurement, make_run

pytestmark = pytest.mark.django_db


def refusal(act, *args, **kwargs):
    with pytest.raises(moderation.Refused) as refused:
        act(*args, **kwargs)
    return str(refused.value)


@pytest.fixture
def two(ada):
    """The published version, and the preprint with an entry, claims, a run, a former key and a history."""
    kept = make_paper([("doi", "10.1234/pub")], [make_technique()], key="kept2024paper", abstract="Ours.")
    other = make_paper(
        [("arxiv", "2401.00001")],
        [make_technique(slug="pruning", name="Pruning", position=1)],
        key="other2023paper",
        venue="arXiv",
        abstract="Theirs.",
        details={"pages": "1--9"},
    )
    make_claim(kept)
    run = make_run(paper=other)
    make_measurement(run, claim=make_claim(other, value=3, high=4))
    make_claim(other, slug="mem_peak_ratio", metric="mem_peak_ratio", position=1)
    entry = make_entry(title="The Same", doi="10.5555/same")
    moderation.merge(entry, other, who=ada)
    FormerKey.objects.create(key="oldest2022paper", paper=other)
    return kept, other


def state():
    """All that hangs on papers, as data."""
    return [
        (
            Facts.of(paper).to_json(),
            (paper.pk, paper.origin, paper.added),
            list(paper.claims.values("pk", "slug", "position", "value")),
            [list(getattr(paper, name).values_list("pk")) for name in ("runs", "entries", "changes")],
            list(paper.former_keys.values_list("key", flat=True)),
        )
        for paper in Paper.objects.order_by("key")
    ]


def test_all_that_hangs_on_the_one_moves_to_the_other(ada, two, client):
    kept, other = two
    moderation.merge_papers(kept, other, who=ada, why="Preprint and published version")
    facts = Facts.of(Paper.objects.get())
    assert facts.identifiers == [["arxiv", "2401.00001"], ["doi", "10.1234/pub"], ["doi", "10.5555/same"]]
    assert (facts.abstract, facts.venue, facts.techniques) == ("Ours.", "arXiv", ["sparse-sums", "pruning"])
    claims = list(kept.claims.values_list("slug", "value", "position"))
    assert claims == [("speedup_x", 2, 0), ("speedup_x-2", 3, 1), ("mem_peak_ratio", 2, 2)]
    assert kept.runs.get().measurements.get().claim.slug == "speedup_x-2"
    assert kept.entries.count() == 1
    for retired in ("other2023paper", "oldest2022paper"):
        assert client.get(f"/papers/{retired}").url == "/papers/kept2024paper"
    change = Change.objects.first()
    assert (change.action, change.subject, change.who) == ("merge_papers", "paper kept2024paper", ada)
    shown = client.get("/changes?paper=kept2024paper").context["changes"]
    assert ("Merged", "", "other2023paper") in [(row.label, row.old, row.new) for row in shown[0].differences]
    assert [each.action for each in shown] == ["merge_papers", "merge"]


def test_one_undo_takes_all_of_it_back(ada, two):
    before = state()
    change = moderation.merge_papers(*two, who=ada, why="One")
    moderation.undo(change, who=ada, why="They are two after all")
    now = state()
    now[0][3][2].remove((change.pk,))
    now[0][3][2].remove((Change.objects.first().pk,))
    assert now == before
    assert not FormerKey.objects.filter(key="other2023paper").exists()


def test_a_chain_of_merges_leads_to_the_last_and_is_undone_from_its_end(ada, two, client):
    kept, other = two
    last = make_paper(key="last2025paper")
    first = moderation.merge_papers(kept, other, who=ada, why="One")
    second = moderation.merge_papers(last, Paper.objects.get(key=kept.key), who=ada, why="And another")
    for retired in ("kept2024paper", "other2023paper", "oldest2022paper"):
        assert client.get(f"/papers/{retired}").url == "/papers/last2025paper"
    assert refusal(moderation.undo, first, who=ada, why="Oh") == (
        f"kept2024paper was merged into “{last.title}” since; undo that merge first."
    )
    moderation.undo(second, who=ada, why="Oh")
    moderation.undo(first, who=ada, why="Oh")
    assert set(Paper.objects.values_list("key", flat=True)) == {
        "kept2024paper",
        "other2023paper",
        "last2025paper",
    }


def test_what_cannot_be_merged_says_why(ada, ben, two):
    kept, other = two
    merge = moderation.merge_papers
    assert refusal(merge, kept, kept, who=ada, why="x").startswith("These are not two papers")
    assert refusal(merge, kept, other, who=ada, why=" ") == "Say why; the change is public."
    assert refusal(merge, kept, other, who=ben, why="x").startswith("Only a moderator")
    Paper.objects.filter(pk=other.pk).update(origin="curated")
    assert "keep that one instead" in refusal(merge, kept, other, who=ada, why="x")


def test_the_corpus_does_not_bring_a_merged_paper_back(ada):
    technique = make_technique()
    facts = [
        make_facts(key=key, title=title, techniques=[technique.slug])
        for key, title in (("invented2024one", "One"), ("invented2024two", "Two"))
    ]
    claim = {"slug": "speedup_x", "metric": "speedup_x", "value": 2, "low": 1, "high": 3, "unit": "x"}
    claim |= {"better": "higher", "baseline": "", "setting": "", "locator": "Table 1", "verified": True}
    claim |= {"source_kind": "", "range_kind": "editor"}
    claim["range_kind"] = next(iter(curation.RANGE_KINDS))
    corpus = Corpus([], facts, {each.key: [claim] for each in facts})
    curation.load(corpus, lambda *_: None)
    one, two = Paper.objects.order_by("key")
    moderation.merge_papers(one, two, who=ada, why="One")
    before = state()
    loaded = curation.load(corpus, lambda *_: None)
    assert (loaded.new, loaded.revised, loaded.new_claims, loaded.revised_claims) == (0, 0, 0, 0)
    assert state() == before
    assert Claim.objects.count() == 2


def test_the_page_shows_what_would_happen_and_guards_what_recipes_are_judged_by(ada, two, client):
    _, other = two
    client.force_login(ada)
    page = client.get("/papers/kept2024paper/merge?other=arXiv:2401.00001")
    rows = {row.label: (row.here, row.there, row.after) for row in page.context["beside"]}
    assert rows["Abstract"] == ("Ours.", "Theirs.", "Ours.")
    assert rows["Venue"] == ("", "arXiv", "arXiv")
    assert page.context["planned"].rows["run"] == 1
    assert Paper.objects.count() == 2
    other.identifiers.create(scheme="arxiv", value="2205.14135")  # the paper of flashattention-io
    address = "/papers/kept2024paper/merge"
    guarded = client.post(address, {"other": other.key, "why": "One"})
    assert guarded.status_code == 409
    assert "The recipe flashattention-io measures the claim speedup_x" in guarded.content.decode()
    other.identifiers.filter(value="2205.14135").delete()
    silent = client.post(address, {"other": other.key, "why": ""})
    assert (silent.status_code, silent.context["planned"] is None) == (409, False)
    assert client.post(address, {"other": other.key, "why": "One"}).url == "/papers/kept2024paper"
    assert client.get(address, {"other": "nobody"}).status_code == 400
    assert client.get(address, {"other": other.key}).status_code == 409  # it is this one by now


def test_two_moderators_who_merge_crosswise_merge_once(transactional_db):
    group, _ = Group.objects.get_or_create(name="moderators")
    moderators = [User.objects.create(username=name) for name in ("ada", "adam")]
    group.user_set.set(moderators)
    one, two = make_paper([("doi", "10.1/one")]), make_paper([("doi", "10.1/two")])
    refused, gate = [], threading.Barrier(2)

    def merge(kept, other, who):
        gate.wait()
        try:
            moderation.merge_papers(kept, other, who=who, why="One")
        except moderation.Refused as sentence:
            refused.append(str(sentence))
        finally:
            connection.close()

    pairs = [(one, two, moderators[0]), (two, one, moderators[1])]
    threads = [threading.Thread(target=merge, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["These are not two papers that are here; one may have been merged a moment ago."]
    assert (Paper.objects.count(), Paper.objects.get().identifiers.count()) == (1, 2)
