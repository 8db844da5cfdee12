"""Bundles from strangers: what is refused and how, and what moderators can do with the rest."""

import base64
import gzip
import hashlib
import json
import threading
from datetime import UTC, datetime

import pytest
from django.db import connection

from papers import moderation
from papers.models import Change
from reproduce import admission, contributions, waiting
from reproduce.models import Contribution, Measurement, Run
from reproduce.recipes import bundle, spec
from tests.making_bundles import DEVICE, SAMPLES, SLUG, make_bundle, make_flash, make_metrics, make_report
from tests.making_runs import make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def flash(db):
    return make_flash()


def offered(ben, **over):
    return contributions.offer(make_bundle(**over), who=ben, filename="bundle.json", note="In a cold room")


def refusal(raw, ben):
    with pytest.raises(contributions.Refused) as refused:
        contributions.offer(raw, who=ben)
    assert not Contribution.objects.exists()
    return str(refused.value)


def test_a_sound_bundle_waits_byte_for_byte_and_is_no_run(flash, ben):
    raw = make_bundle()
    sent = Contribution.objects.get(pk=contributions.offer(raw, who=ben, note=" Cold room ").pk)
    assert (sent.recipe, sent.device_name, sent.note, sent.sent_by) == (SLUG, DEVICE, "Cold room", ben)
    assert (sent.decision, sent.decided, sent.bundle_sha256) == (
        "pending",
        None,
        hashlib.sha256(raw).hexdigest(),
    )
    assert contributions.raw(sent) == raw
    assert not Run.objects.exists()


def test_a_glance_shows_the_verdicts_it_would_get_and_stores_nothing(flash, ben):
    sent = offered(ben)
    judged = contributions.judged(sent, contributions.opened(sent))
    headline = next(each for each in judged if each.headline)
    assert (headline.value, headline.claim, headline.verdict) == (6.0, flash.claims.get(), "reproduced")
    assert not Measurement.objects.exists()


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"{}"])
def test_what_is_no_bundle_is_refused_with_a_remedy(flash, ben, raw):
    told = refusal(raw, ben)
    assert told.startswith("The bundle is ")
    assert told.endswith(admission.AS_WRITTEN)


def test_a_bundle_too_large_is_not_even_parsed(flash, ben):
    told = refusal(b" " * (bundle.SIZE_LIMIT + 1), ben)
    assert told == f"The bundle is larger than 16 MiB, the most that a recipe writes. {admission.AS_WRITTEN}"


def with_number(text):
    return make_bundle(gpu_seconds=60.0).replace(b'"gpu_seconds": 60.0', f'"gpu_seconds": {text}'.encode())


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-1", "true", '"60"', "1e400", "9" * 5000])
def test_a_number_that_is_none_is_refused(flash, ben, text):
    assert refusal(with_number(text), ben).startswith("The bundle is ")


FAILED = {"status": "failed", "failure": {"kind": "out_of_memory", "message": "Too large."}}
LATER = f"{datetime.now(UTC).year + 2}-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("over", "told"),
    [
        (FAILED, "it says that it failed."),
        ({"metrics": make_metrics()[1:]}, "it measured "),
        ({"metrics": [*make_metrics(), make_metrics()[0]]}, "it measured "),
        ({"recipe": {"slug": "no-such", "version": 1, "digest": "0" * 64}}, "recipe.slug is no-such"),
        ({"recipe": {"slug": SLUG, "version": 1, "digest": "0" * 64}}, f"recipe.digest is of no version of {SLUG}"),
        ({"recipe": {**make_report()["recipe"], "version": 77}}, "recipe.version is 77, but "),
        ({"parameters": {}}, "parameters: "),
        ({"parameters": {**make_report()["parameters"], "no_such": 1}}, "parameters: no_such: There is no such"),
        ({"metrics": [{**each, "unit": "furlongs"} for each in make_metrics()]}, "the unit of "),
        ({"metrics": [{**each, "n": 2**40} for each in make_metrics()]}, "n of "),
        ({"device": {"kind": "cuda", "name": "Other GPU", "count": 1}}, "device.name is 'Other GPU', but "),
        ({"device": {"kind": "cpu", "name": "x" * 101, "count": 1}}, "device.name must name the device"),
        ({"device": {"kind": "cpu", "name": "a\nb", "count": 1}}, "device.name must name the device"),
        ({"environment": {}}, "device.name is 'Invented H-1', but environment.accelerator.name is 'None'"),
        ({"environment": {"accelerator": 1}}, "device.name is 'Invented H-1', but "),
        ({"finished": LATER}, f"finished is {LATER}, which is still to come."),
        ({"gpu_seconds": 1e9}, "gpu_seconds is more than its GPUs had"),
        ({"energy_j": 1e9}, "energy_j is more than"),
        ({"trace": [dict.fromkeys(("memory_mb", "utilisation", "power_w", "temperature_c", "sm_clock_mhz")) | {"t": 0, "gpu": 1}]}, "trace names more GPUs"),
        ({"samples": {"a": [1.0]}}, "its raw samples of a must hold at most 200 arms"),
        ({"samples": [1.0]}, "its raw samples must hold at most 1000 comparisons"),
        ({"samples": {"a": {"b": ["1"]}}}, "its raw samples of a, b must be a list of finite numbers"),
        ({"samples": {"a": {"b": [[[1.0]]]}}}, "its raw samples of a, b must be a list of finite numbers"),
        ({"samples": {"a" * 121: {}}}, "its raw samples must hold"),
    ],
)  # fmt: skip
def test_what_cannot_be_true_is_refused_by_its_place(flash, ben, over, told):
    assert refusal(make_bundle(**over), ben).startswith(f"The bundle is refused: {told}")


def repacked(raw_samples):
    """A bundle around other bytes of samples, with their true checksum, sealed anew."""
    report = json.loads(make_bundle())
    packed = base64.b64encode(gzip.compress(raw_samples)).decode()
    report["samples"] |= {"data": packed, "sha256": hashlib.sha256(raw_samples).hexdigest()}
    return json.dumps(report | {"seal": bundle.seal(report)}).encode()


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b'{"a": {"b": [NaN]}}', "NaN is no finite number."),
        (b'{"a": {"b": [1]}, "a": {}}', "one of its objects names a key twice."),
        (b'{"a"', "its raw samples are no valid JSON."),
        (b"[" * 100_000, "its raw samples are no valid JSON."),
        (b'{"a": {"b": [' + b"0," * 1_000_001 + b"0]}}", "it has more than 1000000 raw samples."),
        (b'{"a": {"b": [1e400]}}', "its raw samples of a, b must be a list of finite numbers"),
    ],
)
def test_hostile_samples_are_refused(flash, ben, raw, told):
    assert refusal(repacked(raw), ben).startswith(f"The bundle is refused: {told}")


def test_a_bundle_of_a_paper_that_is_not_here_says_what_to_do_first(ben):
    told = refusal(make_bundle(), ben)
    assert (
        told == "The paper arxiv:2205.14135 is not in the database. Send in its reference at /submit first."
    )


def test_an_earlier_version_is_known_by_the_runs_made_with_it(flash, ben, ada):
    make_run(paper=flash, recipe=SLUG, recipe_version=1, recipe_digest="e" * 64)
    earlier = {"slug": SLUG, "version": 1, "digest": "e" * 64}
    run = contributions.accept(offered(ben, recipe=earlier, parameters={"size": 1}), who=ada)
    assert (run.recipe_version, run.recipe_digest, run.parameters) == (1, "e" * 64, {"size": 1})


def test_the_same_bundle_counts_once_and_is_told_where_it_stands(flash, ben, cy, ada):
    raw = make_bundle()
    sent = contributions.offer(raw, who=ben)
    with pytest.raises(contributions.AlreadyHere, match="sent before, and waits for a moderator") as mine:
        contributions.offer(raw, who=ben)
    assert mine.value.address == f"/contributions/{sent.pk}"
    with pytest.raises(contributions.AlreadyHere, match=r"^Somebody else sent this bundle before") as theirs:
        contributions.offer(raw, who=cy)
    assert theirs.value.address == ""
    run = contributions.accept(sent, who=ada)
    with pytest.raises(contributions.AlreadyHere, match=f"here already as run {run.pk}") as accepted:
        contributions.offer(raw, who=cy)
    assert accepted.value.address == f"/runs/{run.pk}"


@pytest.mark.parametrize("origin", ["pool", "shipped"])
def test_a_bundle_of_a_run_that_is_here_is_no_contribution(flash, ben, origin):
    raw = make_bundle()
    make_run(paper=flash, origin=origin, bundle_sha256=hashlib.sha256(raw).hexdigest())
    assert "This bundle is here already as run" in refusal(raw, ben)


def test_accepting_makes_a_judged_run_of_its_senders_name(flash, ben, ada):
    raw = make_bundle()
    sent = contributions.offer(raw, who=ben)
    run = Run.objects.get(pk=contributions.accept(sent, who=ada, why="Plausible").pk)
    sent.refresh_from_db()
    assert (run.origin, run.status, run.requested_by, run.device_name) == ("contributed", "done", ben, DEVICE)
    assert (sent.decision, sent.run, sent.decided_by, sent.reason) == ("accepted", run, ada, "Plausible")
    assert [(each.name, each.verdict) for each in run.measurements.filter(headline=True)] == [
        (next(each.name for each in spec.load(SLUG).measures if each.headline), "reproduced")
    ]
    assert [(event.status, event.who, event.why) for event in run.events.all()] == [
        ("done", "ada", "contributed by ben: Plausible")
    ]
    assert gzip.decompress(run.bundle) == raw


def test_who_is_no_moderator_decides_nothing(flash, ben):
    sent = offered(ben)
    for act in (
        lambda: contributions.accept(sent, who=ben),
        lambda: contributions.reject(sent, who=ben, reason="No"),
        lambda: contributions.take_back(sent, who=ben, why="No"),
    ):
        with pytest.raises(contributions.Refused, match="Only a moderator decides"):
            act()
    sent.refresh_from_db()
    assert sent.decision == "pending"
    assert not Change.objects.exists()


def test_a_rejection_needs_a_reason_and_keeps_it(flash, ben, ada):
    sent = offered(ben)
    with pytest.raises(contributions.Refused, match=r"Give the reason; the sender reads it\."):
        contributions.reject(sent, who=ada, reason=" ")
    contributions.reject(sent, who=ada, reason="Its clocks were locked")
    sent.refresh_from_db()
    assert (sent.decision, sent.reason, sent.decided_by, sent.run) == (
        "rejected",
        "Its clocks were locked",
        ada,
        None,
    )


def test_a_decision_is_taken_once(flash, ben, ada, cy):
    cy.is_superuser = True
    cy.save()
    sent = offered(ben)
    contributions.accept(sent, who=cy)
    for act in (contributions.accept, lambda sent, who: contributions.reject(sent, who=who, reason="Late")):
        with pytest.raises(contributions.Refused, match=r"^Already accepted by cy on "):
            act(sent, who=ada)
    assert Run.objects.count() == 1


def test_taking_back_an_acceptance_removes_its_run_and_keeps_the_history(flash, ben, ada):
    sent = offered(ben)
    run = contributions.accept(sent, who=ada, why="Plausible")
    with pytest.raises(contributions.Refused, match=r"Say why; the change is public\."):
        contributions.take_back(sent, who=ada, why="")
    contributions.take_back(sent, who=ada, why="Its name is made up")
    sent.refresh_from_db()
    assert (sent.decision, sent.run, sent.reason, sent.decided) == ("pending", None, "", None)
    assert not Run.objects.filter(pk=run.pk).exists()
    assert not Measurement.objects.exists()
    newest, first = contributions.history(sent)
    assert (newest.action, newest.who, newest.why, newest.undoes) == (
        "undo",
        ada,
        "Its name is made up",
        first,
    )
    assert (first.action, first.why, first.before, first.after, first.paper) == (
        "accept", "Plausible", {"decision": "pending"}, {"decision": "accepted"}, flash,
    )  # fmt: skip
    assert contributions.accept(sent, who=ada).pk != run.pk


def test_taking_back_a_rejection_makes_it_wait_again(flash, ben, ada):
    sent = offered(ben)
    with pytest.raises(contributions.Refused, match="there is none to take back"):
        contributions.take_back(sent, who=ada, why="Too early")
    for _ in range(2):
        contributions.reject(sent, who=ada, reason="By mistake")
        contributions.take_back(sent, who=ada, why="It was a mistake")
    sent.refresh_from_db()
    assert sent.decision == "pending"
    assert [each.action for each in contributions.history(sent)] == ["undo", "reject"] * 2


def test_the_desk_cannot_undo_what_is_taken_back_elsewhere(flash, ben, ada):
    sent = offered(ben)
    contributions.accept(sent, who=ada)
    with pytest.raises(moderation.Refused, match=f"at /contributions/{sent.pk}"):
        moderation.undo(Change.objects.get(), who=ada, why="From here")
    assert Run.objects.count() == 1


def test_what_became_a_run_meanwhile_is_not_accepted_beside_it(flash, ben, ada):
    sent = offered(ben)
    run = make_run(paper=flash, origin="shipped", bundle_sha256=sent.bundle_sha256)
    with pytest.raises(contributions.Refused, match=f"here already as run {run.pk}"):
        contributions.accept(sent, who=ada)


def test_a_stranger_sees_a_contribution_once_it_is_accepted(flash, ben, cy, ada):
    sent = offered(ben)
    seen = {user.username: contributions.visible_to(user).count() for user in (ben, cy, ada)}
    assert seen == {"ben": 1, "cy": 0, "ada": 1}
    contributions.accept(sent, who=ada)
    assert contributions.visible_to(cy).get() == sent


def test_what_strangers_machines_took_is_no_estimate_of_ours(flash, ben, ada):
    run = contributions.accept(offered(ben), who=ada)
    queued = make_run(paper=flash, recipe=SLUG, preset="full", device="cuda")
    assert run.duration == 60
    assert waiting.estimate_s(queued) is None


@pytest.mark.django_db(transaction=True)
def test_of_two_moderators_at_once_one_decides(ada, ben, django_user_model):
    make_flash()
    other = django_user_model.objects.create_superuser("dee")
    sent, start, ends = offered(ben), threading.Barrier(2), []

    def decide(who):
        start.wait()
        try:
            ends.append(contributions.accept(sent, who=who).pk)
        except contributions.Refused as refused:
            ends.append(str(refused)[:17])
        connection.close()

    threads = [threading.Thread(target=decide, args=[who]) for who in (ada, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, ends)) == sorted([str(Run.objects.get().pk), "Already accepted "])


@pytest.mark.django_db(transaction=True)
def test_the_same_bytes_sent_twice_at_once_are_kept_once(ben):
    make_flash()
    raw, start, ends = make_bundle(), threading.Barrier(2), []

    def send():
        start.wait()
        try:
            ends.append(contributions.offer(raw, who=ben).pk)
        except contributions.AlreadyHere:
            ends.append("already here")
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, ends)) == sorted([str(Contribution.objects.get().pk), "already here"])


def test_the_samples_of_a_bundle_are_whole():
    assert bundle.samples(bundle.read(make_bundle())) == SAMPLES
