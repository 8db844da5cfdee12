"""How long a request took here, and its database part, in the header Server-Timing for browsers."""

import time

from django.db import connection


class ServerTimingMiddleware:
    """Counts from its own place in the stack; a stream's body comes after the header and is not in it."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        spent, started = [0.0], time.perf_counter()

        def timed(execute, *arguments):
            begun = time.perf_counter()
            try:
                return execute(*arguments)
            finally:
                spent[0] += time.perf_counter() - begun

        with connection.execute_wrapper(timed):
            response = self.get_response(request)
        took = time.perf_counter() - started
        response["Server-Timing"] = f"app;dur={1e3 * took:.2f}, db;dur={1e3 * spent[0]:.2f}"
        return response
