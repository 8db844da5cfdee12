"""Claims of one synthetic paper in a hundred, and a few hundred finished runs with what they measured."""

import random
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from papers.metrics import METRICS
from papers.models import Claim
from reproduce.models import Measurement, Run

RUNS = 300
GPUS = ("NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB", "NVIDIA GeForce RTX 4090", "NVIDIA L4")
VERDICTS = [value for value in Measurement.Verdict.values if value != "invalid"]


def add(first, end):
    """Claims and runs for the papers of the ids first..end. Triggers sleep meanwhile, as in synthetic.py."""
    chosen = random.Random(first)
    papers = range(first, end, 100)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
    claims = Claim.objects.bulk_create(
        [claim(paper, number, chosen) for paper in papers for number in range(chosen.choice((1, 1, 2)))], 2000
    )
    measured = chosen.sample(claims, min(RUNS, len(claims)))
    runs = Run.objects.bulk_create([run(each, chosen) for each in measured], 500)
    Measurement.objects.bulk_create(
        [measurement(*pair, chosen) for pair in zip(runs, measured, strict=True)], 500
    )
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = DEFAULT")


def claim(paper, number, chosen):
    slug = chosen.choice(sorted(METRICS))
    value = round(chosen.lognormvariate(0.7, 0.5), 2)
    return Claim(
        paper_id=paper,
        slug=f"{slug}-{number}",
        metric=slug,
        kind=chosen.choice(Claim.Kind.values),
        value=value,
        low=value * 0.9,
        high=value * 1.1,
        range_printed=False,
        unit="x",
        better="higher",
        locator="Table 1",
        verified=bool(chosen.getrandbits(1)),
        position=number,
    )


def run(claimed, chosen):
    finished = timezone.now() - timedelta(minutes=chosen.randrange(100_000))
    return Run(
        recipe="flashattention-io",
        recipe_version=1,
        recipe_digest="0" * 64,
        paper_id=claimed.paper_id,
        preset="full",
        device="cuda",
        time_limit=60,
        origin=Run.Origin.POOL,
        fingerprint=f"made-{claimed.pk}",
        status=Run.Status.DONE,
        attempt=1,
        started=finished - timedelta(minutes=1),
        finished=finished,
        device_name=chosen.choice(GPUS),
    )


def measurement(of_run, claimed, chosen):
    value = claimed.value * chosen.uniform(0.4, 1.2)
    return Measurement(
        run=of_run,
        name="made",
        label="Made",
        metric=claimed.metric,
        claim=claimed,
        value=value,
        low=value * 0.98,
        high=value * 1.02,
        n=30,
        headline=True,
        verdict=chosen.choice(VERDICTS),
        verdict_reason="It is made up for a benchmark.",
    )
