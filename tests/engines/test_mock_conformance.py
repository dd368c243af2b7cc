"""The mock engine keeps all that the interface of engines promises."""

from typing import ClassVar

from stagecall.engines.mock import provider
from stagecall.testing.engine_conformance import EngineConformance, ShellCommand


class TestMock(EngineConformance):
    """The mock engine does everything."""

    shell = ShellCommand(("print-hello",), b"print-hello\n", b"Hello World", b"No error!")
    failing_shell = ("exit-false",)
    lasting_shell = ("sleep", "300")
    impossible_variables = ("", "two words")

    def engine_factory(self, options):
        return provider.new_engine(options)

    def prints(self, text, success=True):
        return {"function": "write-log" if success else "write-error-log", "argument": text}

    def silent(self):
        return {"function": "true"}

    def lasts(self):
        return {"function": "true", "delay": 300_000}

    def writes_files(self, names):
        return {"function": "write-files", "argument": " ".join(names)}

    def prints_variable(self, name):
        return {"function": "print-env-var", "argument": name}

    def fetches(self, url):
        return {"function": "ping-proxy", "argument": url}

    def writes_volume(self, name, text):
        return {"function": "write-volume", "argument": f"{self.mountpoint}/{name}:{text}"}

    def reads_volume(self, name):
        return {"function": "read-volume", "argument": f"{self.mountpoint}/{name}"}


class TestMockOfTwo(TestMock):
    """So does one that runs two sandboxes at once at most."""

    config: ClassVar = {"maxConcurrency": 2}
