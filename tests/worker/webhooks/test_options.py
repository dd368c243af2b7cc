"""What can be configured, and what is refused before anything listens."""

import socket
import subprocess
import sys

import pytest

from stagecall.lifecycle.errors import ConfigurationError
from stagecall.specs.documents import load_document
from stagecall.worker.cli.config import Available, WorkerConfig, read_config
from stagecall.worker.cli.exits import Problem
from stagecall.worker.webhooks import WebHookOptions

from ..cli_support import stagecall

AVAILABLE = Available(engines={"mock": {}}, plugins={"success": {}})


def read(yaml: str) -> WorkerConfig:
    section = load_document(yaml, "webhooks.yml")
    document = {"engine": "mock", "plugins": {"success": {}}, "worker": {"webhooks": section}}
    return read_config(document, AVAILABLE, name="w.yml")


def test_everything_has_its_place():
    """Each key of the section becomes an option; durations may have units."""
    config = read(
        "{host: '::1', port: 8443, publicUrl: 'https://ci.example.org/hooks/', tlsCertificate: c.pem, "
        "tlsKey: k.pem, maxConnections: 10, idleTimeout: 2 minutes, maxHeaderBytes: 1000, maxBodyBytes: 0, drain: 1}"
    )

    assert config.webhooks == WebHookOptions(
        host="::1",
        port=8443,
        public_url="https://ci.example.org/hooks",
        tls_certificate="c.pem",
        tls_key="k.pem",
        max_connections=10,
        idle_timeout=120,
        max_header_bytes=1000,
        max_body_bytes=0,
        drain=1,
    )


def test_an_empty_section_serves_with_the_defaults():
    """The section is what asks for the server."""
    assert read("{}").webhooks == WebHookOptions()


@pytest.mark.parametrize(
    ("yaml", "line"),
    [
        ("{prt: 1}", 'worker.webhooks.prt: unknown property; did you mean "port"?'),
        ("{port: 65536}", "worker.webhooks.port: must be at most 65535, not 65536"),
        ("{maxConnections: 0}", "worker.webhooks.maxConnections: must be at least 1, not 0"),
        ("{drain: soon}", "worker.webhooks.drain: must be "),
        ("{host: 0.0.0.0}", "worker.webhooks: host 0.0.0.0 is every address of this host, "),
        ("{host: '::'}", "worker.webhooks: host :: is every address of this host, "),
        ("{tlsKey: k.pem}", "worker.webhooks: there is a tlsKey, but no tlsCertificate"),
        ("{idleTimeout: 0}", "worker.webhooks: idleTimeout must be at least 0.01, not 0"),
        ("{publicUrl: example.org}", "worker.webhooks: publicUrl must be an http or https URL "),
    ],
)
def test_what_cannot_be_served_is_said_with_its_path(yaml, line):
    """A mistake is one line, with the file and where in it."""
    with pytest.raises(Problem) as caught:
        read(yaml)

    (said,) = caught.value.lines
    assert said.startswith(f"w.yml: {line}")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks",
        "ftp://x",
        "https://",
        "https://u@x",
        "https://x?a",
        "https://x#a",
        "https://x:port",
        "https://x:0",
        "https://[x",
        "https://kä.se",
        "https://x/a b",
    ],
)
def test_public_addresses_are_plain_urls(url):
    """Scheme, host, perhaps a port and a path: slugs come behind them."""
    with pytest.raises(ConfigurationError, match="publicUrl must be"):
        WebHookOptions(public_url=url)


@pytest.mark.parametrize(
    ("options", "base"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"host": "::1"}, "http://[::1]:8080"),
        ({"host": "worker-1", "tls_certificate": "c.pem"}, "https://worker-1:8080"),
        ({"host": "0.0.0.0", "public_url": "http://x/"}, "http://x"),
        ({"public_url": "https://x:8443/a/b//", "tls_certificate": "c.pem"}, "https://x:8443/a/b"),
    ],
)
def test_addresses_begin_with_what_clients_can_reach(options, base):
    """That is the public address, else the host's, with the scheme that is spoken."""
    assert WebHookOptions(**options).base(8080) == base


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path):
    """`stagecall run` with a server of web hooks that cannot listen runs nothing."""
    (tmp_path / "task.yml").write_text("payload: {function: 'true'}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "w.yml").write_text(f"engine: mock\nworker: {{webhooks: {{port: {port}}}}}")

        done = stagecall("run", "task.yml", "--config", "w.yml", cwd=tmp_path)

    assert (done.code, done.err) == (
        2,
        f"stagecall: web hooks: cannot listen on 127.0.0.1 port {port}: Address already in use\n",
    )


def test_a_run_with_a_server_of_web_hooks_ends(tmp_path):
    """The server is closed when the runs are over."""
    (tmp_path / "task.yml").write_text("payload: {function: 'true'}")
    (tmp_path / "w.yml").write_text("engine: mock\nworker: {webhooks: {}}")

    assert stagecall("run", "task.yml", "--config", "w.yml", cwd=tmp_path).code == 0


def test_reading_a_configuration_loads_no_server():
    """The command line starts as fast as before: who serves nothing does not import what serves."""
    code = "import sys, stagecall.worker.cli.run; assert 'aiohttp' not in sys.modules"

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
