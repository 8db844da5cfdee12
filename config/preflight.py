"""What `make` checks before anything slow: Python's version, and the port. Standard library only."""

import os
import socket
import sys


def port_fault(host, port):
    """A sentence saying why the web server cannot listen there, or None."""
    if not port.isdigit() or not 0 < int(port) < 65536:
        return f"PORT={port} is not a port: choose a number from 1 to 65535."
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        other = int(port) + 1 if int(port) < 65535 else 8000
        return f"Cannot listen on {host} port {port}: {error.strerror}. Choose another: make up PORT={other}"
    return None


def python_fault():
    """A sentence saying why this Python cannot carry Spectrum, or None."""
    if sys.version_info < (3, 11):  # noqa: UP036 - it is an older Python that must read this line
        found = f"{sys.version_info[0]}.{sys.version_info[1]}"
        return f"Spectrum needs Python 3.11 or newer; {sys.executable} is {found}. Add PYTHON=python3.11"
    try:
        __import__("ensurepip")
    except ImportError:
        return (
            f"{sys.executable} has no ensurepip to make .venv with. On Debian: apt-get install python3-venv"
        )
    return None


def main():
    fault = python_fault()
    if fault is None and "port" in sys.argv[1:]:
        fault = port_fault(os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or "8000")
    sys.exit(fault)


if __name__ == "__main__":
    main()
