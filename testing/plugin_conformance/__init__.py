"""A conformance kit for plugins: subclass `PluginConformance` in a test module, and say how your plugin is made.

    class TestMine(PluginConformance):
        payloads = ({"mine": 1},)

        @pytest.fixture
        def plugin_factory(self):
            return MyPlugin                       # or: lambda: (provider, {"option": 1})

The checks are grouped: what a plugin declares (`declarations`), how it goes through a run (`stages`), beside others
(`company`), and what is left of it at the end (`disposal`).
"""

from .company import CompanyChecks
from .declarations import DeclarationChecks
from .disposal import DisposalChecks
from .stages import StageChecks
from .stand import PluginFactory, Subject

__all__ = ["PluginConformance", "PluginFactory", "Subject"]


class PluginConformance(DeclarationChecks, StageChecks, CompanyChecks, DisposalChecks, kit=True):
    """All checks of plugins. Subclass it, with the fixture `plugin_factory`, and `payloads` if the plugin takes any.

    The fixture returns a function that makes the plugin afresh, or gives `(provider, config)`. `capabilities` says what
    the plugin can do (see `flags`), `departures` which checks it replaces or leaves out, and why.
    """
