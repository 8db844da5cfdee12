"""A Server-Timing header for builds that send none: the whole of a request, and its statements."""

import time

from django.db import connection


class ServerTiming:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        spent = []

        def clock(execute, *given):
            begun = time.perf_counter()
            try:
                return execute(*given)
            finally:
                spent.append(time.perf_counter() - begun)

        begun = time.perf_counter()
        with connection.execute_wrapper(clock):
            response = self.get_response(request)
        whole = time.perf_counter() - begun
        response["Server-Timing"] = f"app;dur={1e3 * whole:.3f}, db;dur={1e3 * sum(spent):.3f}"
        return response
