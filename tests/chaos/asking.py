"""People who ask for runs over the real API, and go on asking until they know that they were heard."""

import http.client
import json
import threading
import time
import urllib.error
import urllib.request

from django.contrib.auth.models import User
from django.db import DatabaseError, InterfaceError, connection, transaction

from explorer import tokens
from reproduce import demand
from reproduce.models import Run
from tests.chaos.modes import HANG_LIMIT_S, RECIPE, question

RUNS_EACH = 20  # the API takes 30 an hour of each person
MOST_WAITING = 20
PATIENCE_S = 120


class Askers(threading.Thread):
    """Asks the drawn modes one after the other, as many people. `unheard` are the questions nobody answered."""

    def __init__(self, stack, modes):
        super().__init__(name="askers", daemon=True)
        self.stack, self.modes, self.asked, self.unheard = stack, modes, [], []
        count = len(modes) // RUNS_EACH + 3
        self.people = [User.objects.create_user(f"person{number}") for number in range(count)]
        self.tokens = [tokens.issue(person, "chaos") for person in self.people]

    def run(self):
        for number, mode in enumerate(self.modes):
            self._hold_back()
            heard = self._insist(mode, number)
            (self.asked if heard else self.unheard).append((mode, number))
        connection.close()

    def _hold_back(self):
        while persistently(lambda: Run.objects.filter(status="queued").count()) > MOST_WAITING:
            time.sleep(0.5)

    def _insist(self, mode, number):
        """Ask until an answer comes. The same question asked twice is one run, so no answer is worth a retry."""
        ask = self._ask_in_process if mode == "hang" else self._ask_over_http
        end, who = time.monotonic() + PATIENCE_S, number
        while time.monotonic() < end:
            if ask(mode, number, who % len(self.people)):
                return True
            who += 1
            time.sleep(0.3)
        return False

    def _ask_over_http(self, mode, number, who):
        body = {"recipe": RECIPE, "preset": "smoke", "parameters": question(mode, number)}
        return post(f"{self.stack.url}/api/runs", self.tokens[who], body) in {200, 201}

    def _ask_in_process(self, mode, number, who):
        """A recipe's time limit is minutes long: these get a short one before any worker can see them."""
        try:
            with transaction.atomic():
                run, _ = demand.request_run(
                    RECIPE, preset="smoke", typed=question(mode, number), who=self.people[who]
                )
                Run.objects.filter(pk=run.pk).update(time_limit=HANG_LIMIT_S)
            return True
        except (demand.OverQuota, DatabaseError, InterfaceError):
            connection.close()
            return False


def post(url, token, body=None):
    """The status of a POST; None when nobody answered."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body or {}).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, http.client.HTTPException):
        return None


def persistently(look):
    """The answer of the database, however often it has to be asked."""
    for _ in range(PATIENCE_S):
        try:
            return look()
        except (DatabaseError, InterfaceError):
            connection.close()
            time.sleep(1)
    raise TimeoutError("the database did not answer for two minutes")
