"""The plugin keeps to the rules, whatever becomes of a run."""

import pytest
from stagecall_checksums import provider

from stagecall.testing.plugin_conformance import PluginConformance

HELLO_WORLD = "a591a6d40bf420404a011733cfb7b190d62c65bf0bcda32b57b277d9ad9f146e"


class TestChecksums(PluginConformance):
    """The plugin as it is configured by most."""

    task = {"function": "write-files", "argument": "hello.txt sub/hello.txt"}
    payloads = ({"checksums": {"hello.txt": HELLO_WORLD, "sub/hello.txt": HELLO_WORLD}}, {})

    @pytest.fixture
    def plugin_factory(self):
        return lambda: (provider, {"artifact": "public/SHA256SUMS"})


class TestStrictChecksums(PluginConformance):
    """A task that wrote nothing of what it promised fails, which is what the plugin is for."""

    capabilities = PluginConformance.capabilities - {"plain-success"}
    payloads = ({"checksums": {"missing.txt": HELLO_WORLD}},)

    @pytest.fixture
    def plugin_factory(self):
        return lambda: (provider, {})
