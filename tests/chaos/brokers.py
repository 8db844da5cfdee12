"""The three brokers: our embedded Valkey, Debian's Redis and RabbitMQ. What these write lies in a throwaway folder."""

import shutil
from dataclasses import dataclass

from tests.live import free_port

RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # the one in PATH works under the system's account alone


@dataclass(frozen=True)
class Broker:
    """How one is started and reached, and how its process is called. Without a command it is the embedded one."""

    process: str
    url: str = ""
    command: tuple = ()


def valkey(_):
    return Broker("valkey-server")


def redis(var):
    home = _home(var)
    socket = home / "redis.sock"
    options = {"--unixsocket": socket, "--port": 0, "--save": "", "--dir": home}
    command = ["redis-server", *(str(part) for option in options.items() for part in option)]
    return Broker("redis-server", f"redis+socket://{socket}", tuple(command))


def rabbitmq(var):
    """One node on loopback, with ports, a cookie and an epmd of its own."""
    home, port = _home(var), free_port()
    environment = {
        "HOME": home,
        "RABBITMQ_NODENAME": "chaos@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": port,
        "RABBITMQ_DIST_PORT": free_port(),
        "ERL_EPMD_PORT": free_port(),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_MNESIA_BASE": home / "mnesia",
        "RABBITMQ_LOG_BASE": home / "log",
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_CONFIG_FILE": home / "rabbitmq",
        "RABBITMQ_CONF_ENV_FILE": home / "none",
        "RABBITMQ_ENABLED_PLUGINS_FILE": home / "plugins",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
    }
    command = [
        "env",
        f"--chdir={home}",
        *(f"{name}={value}" for name, value in environment.items()),
        RABBITMQ,
    ]
    return Broker("beam.smp", f"amqp://guest:guest@127.0.0.1:{port}//", tuple(command))


def _home(var):
    home = var / "broker"
    home.mkdir()
    return home


BROKERS = {"valkey": valkey, "redis": redis, "rabbitmq": rabbitmq}


def missing(name):
    """Whether this machine lacks its program."""
    return shutil.which({"valkey": "true", "redis": "redis-server", "rabbitmq": RABBITMQ}[name]) is None
