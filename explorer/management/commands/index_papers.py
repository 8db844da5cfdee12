"""Store the search index anew, so that web processes start fast: worth it beyond ten thousand papers."""

import time

from django.core.management.base import BaseCommand

from explorer import indexing
from papers.models import Paper


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args, **options):
        total, started = Paper.objects.count(), time.monotonic()

        def show(done):
            if self.stdout.isatty():
                self.stdout.write(f"{done:,}/{total:,} papers read", ending="\r")

        base = indexing.build(show)
        took = time.monotonic() - started
        self.stdout.write(f"Index: {total:,} papers in {took:.1f} s, base {base.pk}.")
