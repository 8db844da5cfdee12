"""The embedded servers: what was committed stays, and nothing stale, foreign or closed stands in their way."""

import os
import shutil
import stat
from pathlib import Path

import psycopg
import pytest

from config import embedded
from config.account import AccountError, own_folder


@pytest.fixture
def var(tmp_path):
    folder = tmp_path / "var"
    yield folder
    embedded.stop(folder)


def sql(var, query):
    with psycopg.connect(embedded.database_url(var), autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


def kill_all(var):
    for engine in embedded.ENGINES:
        for process in embedded.processes(var, engine):
            process.kill()
    assert all(embedded._gone(var, engine, 20) for engine in embedded.ENGINES)


def test_a_committed_row_survives_kill_9_and_a_pid_file_that_names_a_living_stranger(var):
    embedded.start(var)
    sql(var, "CREATE TABLE kept (word text)")
    sql(var, "INSERT INTO kept VALUES ('still here')")
    kill_all(var)
    pid_file = var / "postgres" / "postmaster.pid"
    pid_file.write_text(pid_file.read_text().replace(pid_file.read_text().split()[0], str(os.getpid()), 1))

    embedded.start(var)

    assert embedded.running(var) == {"postgres", "valkey"}
    assert sql(var, "SELECT word FROM kept") == [("still here",)]


def test_starting_and_stopping_twice_changes_nothing(var):
    embedded.start(var, ["postgres"])
    first = embedded.processes(var, "postgres")[0].pid
    embedded.start(var, ["postgres"])
    assert embedded.processes(var, "postgres")[0].pid == first
    embedded.stop(var)
    embedded.stop(var)
    assert embedded.running(var) == set()
    assert not embedded.socket_dir(var).exists()


def test_the_servers_are_reached_by_a_private_socket_and_not_by_the_network(var):
    embedded.start(var)
    folder = embedded.socket_dir(var).stat()
    assert stat.S_IMODE(folder.st_mode) == 0o700
    listening = [
        connection
        for engine in embedded.ENGINES
        for process in embedded.processes(var, engine)
        for connection in process.net_connections("inet")
    ]
    assert listening == []


def test_a_deep_folder_has_a_short_socket_of_its_own(tmp_path):
    deep = tmp_path / "/".join(["a rather long name of a folder"] * 8) / "var"
    assert len(str(deep)) > 200
    assert len(f"{embedded.socket_dir(deep)}/.s.PGSQL.5432") < 60
    assert embedded.socket_dir(deep) != embedded.socket_dir(tmp_path)


def test_a_closed_parent_folder_stays_closed_to_other_users(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    var = closed / "var"
    embedded.start(var, ["postgres"])
    assert sql(var, "SELECT 1") == [(1,)]
    embedded.stop(var)
    assert closed.stat().st_mode & stat.S_IRWXO == 0


def test_programs_installed_under_a_strict_umask_still_run(var, tmp_path, monkeypatch):
    installed = tmp_path / "site-packages"
    for folder in embedded.PROGRAMS:
        shutil.copytree(folder, installed / folder.relative_to(embedded.WHEELS))
    for path in [installed, *installed.rglob("*")]:
        path.chmod(path.stat().st_mode & 0o700)
    programs = [installed / folder.relative_to(embedded.WHEELS) for folder in embedded.PROGRAMS]
    monkeypatch.setattr(embedded, "PROGRAMS", programs)
    monkeypatch.setattr(embedded, "POSTGRES", programs[0])
    embedded.start(var, ["postgres"])
    assert sql(var, "SELECT 1") == [(1,)]
    assert [path for path in installed.rglob("*") if path.stat().st_mode & 0o007] == []


def test_a_data_folder_of_another_major_version_is_refused(var):
    embedded.start(var, ["postgres"])
    embedded.stop(var)
    (var / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(
        embedded.EmbeddedError, match="was made by PostgreSQL 17, and this Spectrum brings Postg"
    ):
        embedded.start(var, ["postgres"])


def test_a_folder_of_another_user_is_refused(tmp_path):
    somebody_else = tmp_path if os.geteuid() == 0 else Path("/usr")
    with pytest.raises(AccountError, match=r"was made by user root, and user .* must not use it"):
        own_folder(somebody_else)


def test_a_server_that_cannot_start_says_why(var):
    with pytest.raises(embedded.EmbeddedError, match="unrecognized configuration parameter"):
        embedded.start(var, ["postgres"], {"no_such_setting": 1})
