"""Every plugin that ships with the library passes the kit that its users get."""

import base64

import pytest

from stagecall.plugins.artifacts import provider as artifacts
from stagecall.plugins.chainoftrust import provider as chainoftrust
from stagecall.plugins.env import provider as env
from stagecall.plugins.livelog import provider as livelog
from stagecall.plugins.logprefix import provider as logprefix
from stagecall.plugins.maxruntime import provider as maxruntime
from stagecall.plugins.success import provider as success
from stagecall.plugins.tasklog import provider as tasklog
from stagecall.testing.plugin_conformance import PluginConformance


class TestArtifacts(PluginConformance):
    """`artifacts` stores what the task wrote."""

    task = {"function": "write-files", "argument": "a.txt folder/b.txt"}
    payloads = (
        {
            "artifacts": [
                {"type": "file", "path": "a.txt", "name": "public/a.txt"},
                {"type": "directory", "path": "folder", "name": "public/folder"},
            ]
        },
        {"artifacts": []},
    )

    @pytest.fixture
    def plugin_factory(self):
        return lambda: (artifacts, {})


class TestEnv(PluginConformance):
    """`env` sets variables of run, operator and author."""

    task = {"function": "print-env-var", "argument": "TASK_ID"}
    payloads = ({"env": {"A": "1", "B": ""}}, {})

    @pytest.fixture
    def plugin_factory(self):
        return lambda: (env, {"extra": {"C": "3"}})


class TestLiveLog(PluginConformance):
    """`livelog` serves the log, and stores it."""

    @pytest.fixture
    def plugin_factory(self):
        return lambda: (livelog, {"drain": 1})


class TestLogPrefix(PluginConformance):
    """`logprefix` writes before anything else."""

    @pytest.fixture
    def plugin_factory(self):
        return lambda: (logprefix, {"prefix": {"Operator": "nobody"}})


class TestMaxRunTime(PluginConformance):
    """`maxruntime` bounds what the task may take."""

    payloads = ({"maxRunTime": 10}, {"maxRunTime": "1 day"}, {})

    @pytest.fixture
    def plugin_factory(self):
        return lambda: (maxruntime, {"maxRunTime": "2 days"})


class TestSuccess(PluginConformance):
    """`success` hands on the verdict of the task."""

    @pytest.fixture
    def plugin_factory(self):
        return lambda: (success, {})


class TestTaskLog(PluginConformance):
    """`tasklog` stores the log."""

    @pytest.fixture
    def plugin_factory(self):
        return lambda: (tasklog, {})


class TestChainOfTrust(PluginConformance):
    """`chainoftrust` signs what the others have stored; the list says when the task was created."""

    capabilities = PluginConformance.capabilities - {"reproducible"}

    @pytest.fixture
    def plugin_factory(self, tmp_path):
        key = tmp_path / "signing.key"
        key.write_bytes(base64.b64encode(bytes(32)))
        key.chmod(0o600)
        return lambda: (chainoftrust, {"key": str(key)})
