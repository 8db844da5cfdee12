"""Other sites are asked within limits, and nobody sends us to an address that is not public."""

import socket
import ssl
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from papers import fetching
from papers.fetching import Forbidden, Unanswered, fetch
from tests.lookup_server import serving


@pytest.fixture(scope="module")
def server():
    with serving() as sites:
        yield sites


@pytest.fixture
def sites(server, settings):
    server.answers.clear()
    server.asked.clear()
    settings.LOOKUPS = server.settings(settings.LOOKUPS)
    return server


def test_the_answer_and_who_asks(sites):
    sites.lay("/a", b"yes", X_More="1")
    answer = fetch(f"{sites.address}/a", most_bytes=10)
    assert (answer.status, answer.body, answer.headers["x-more"]) == (200, b"yes", "1")
    assert sites.agents[-1] == "Spectrum/0.1 (mailto:desk@example.org)"


@pytest.mark.parametrize(
    ("headers", "body", "sentence"),
    [
        ({"Slow": True}, b"late", "did not answer within 0.2 s."),
        ({"Content_Length": "99"}, b"half", "The connection to 127.0.0.1 failed: peer closed connection"),
        ({}, b"x" * 101, "is larger than"),
        ({"Content_Encoding": "gzip"}, b"x", "in an encoding that was not asked for."),
        ({"Content_Length": "much"}, b"", "The connection to 127.0.0.1 failed"),
    ],
)
def test_what_goes_wrong_is_one_sentence(sites, settings, headers, body, sentence):
    settings.LOOKUPS = replace(settings.LOOKUPS, timeout_s=0.2)
    sites.lay("/a", body, **headers)
    began = time.monotonic()
    with pytest.raises(Unanswered, match=sentence):
        fetch(f"{sites.address}/a", most_bytes=100)
    assert time.monotonic() - began < 2


def test_nobody_there_is_one_sentence_too(sites, settings):
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        settings.LOOKUPS = replace(settings.LOOKUPS, unguarded=frozenset({("127.0.0.1", port)}))
        with pytest.raises(Unanswered, match=r"The connection to 127\.0\.0\.1 failed"):
            fetch(f"http://127.0.0.1:{port}/")


def make_certificate(folder):
    """A self-signed one for "sums.test", in a file with its key."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]),
    )
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    now = datetime.now(UTC)
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("sums.test")]), critical=False)
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = folder / "certificate.pem"
    file.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(pem) + key.private_bytes(pem, *plain))
    return file


def test_https_trusts_the_name_that_was_asked_and_no_other(settings, monkeypatch, tmp_path):
    file = make_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    monkeypatch.setattr(fetching, "resolve", lambda *_: ["127.0.0.1"])
    monkeypatch.setattr(fetching, "_tls", lambda: ssl.create_default_context(cafile=str(file)))
    with serving(tls) as sites:
        names = frozenset((host, sites.port) for host in ("sums.test", "other.test"))
        settings.LOOKUPS = sites.settings(settings.LOOKUPS, unguarded=names, timeout_s=2)
        sites.lay("/a", b"yes")
        assert fetch(f"https://sums.test:{sites.port}/a", most_bytes=10).body == b"yes"
        with pytest.raises(Unanswered, match="certificate verify failed"):
            fetch(f"https://other.test:{sites.port}/a", most_bytes=10)


@pytest.mark.parametrize("wait", ["7", "Thu, 01 Jan 2099 00:00:00 GMT", "soon", "-1"])
def test_retry_after_is_read_and_bounded(sites, wait):
    sites.lay("/a", status=429, Retry_After=wait)
    expected = {"7": 7, "Thu, 01 Jan 2099 00:00:00 GMT": fetching.LONGEST_WAIT_S}
    assert fetch(f"{sites.address}/a").wait_s == expected.get(wait, 0)


def test_redirects_are_followed_a_few_times_and_checked_each_time(sites):
    sites.lay("/once", status=302, Location="/end")
    sites.lay("/end", b"here")
    assert fetch(f"{sites.address}/once", most_bytes=9).body == b"here"
    sites.lay("/round", status=302, Location="/round")
    with pytest.raises(Unanswered, match="more than 3 times"):
        fetch(f"{sites.address}/round")
    for elsewhere in (
        "http://10.0.0.1/",
        "https://localhost/",
        "file:///etc/passwd",
        "http://[::1",
        "//127.0.0.1:1/",
    ):
        sites.lay("/off", status=301, Location=elsewhere)
        with pytest.raises(Unanswered):
            fetch(f"{sites.address}/off")
    asked = sites.asked.count("GET /off")
    assert asked == 5


def test_a_source_cannot_send_us_to_another_site(sites):
    sites.lay("/off", status=301, Location="https://example.org/")
    with pytest.raises(Forbidden, match=r"sent on to example\.org, which is not the site that was asked"):
        fetch(f"{sites.address}/off", hosts={"127.0.0.1"})


@pytest.mark.parametrize(
    "address",
    [
        *(
            "http://example.org:8000/",
            "https://user@example.org/",
            "ftp://example.org/",
            "https:///x",
            "x",
            "",
        ),
        *("http://example.org:443/", "https://example.org:99999/"),
    ],
)
def test_only_plain_web_addresses_are_asked(monkeypatch, address):
    monkeypatch.setattr(fetching, "resolve", lambda *_: pytest.fail("it was looked up"))
    with pytest.raises(Forbidden):
        fetch(address)


@pytest.mark.parametrize(
    "resolved",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1"),
        *("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::"),
    ],
)
def test_a_name_that_leads_to_a_private_address_is_never_connected_to(monkeypatch, settings, resolved):
    """Also when it has a public one besides; what is connected to is what was looked at."""
    monkeypatch.setattr(fetching, "resolve", lambda *_: ["8.8.8.8", resolved])
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("it was connected to"))
    with pytest.raises(Forbidden, match="not public"):
        fetch("https://rebinding.example.org/")


def test_it_connects_to_the_very_address_that_it_looked_at(monkeypatch):
    connected = []

    def refuse(address, *_, **__):
        connected.append(address)
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(fetching, "resolve", lambda *_: ["8.8.8.8", "2001:4860:4860::8888"])
    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(Unanswered, match="refused"):
        fetch("http://bücher.example.org/ä?q=ü")
    assert connected == [("8.8.8.8", 80), ("2001:4860:4860::8888", 80)]
