"""A method of a plugin that nothing would ever call, or call rightly, fails when its class is made."""

import functools

import pytest

from stagecall.plugins.base import Plugin, TaskPlugin


async def no_arguments(self): ...


async def any_arguments(self, *arguments, **named): ...


@pytest.mark.parametrize(
    ("base", "name", "value", "message"),
    [
        (
            TaskPlugin,
            "stoped",
            any_arguments,
            "looks like the hook 'stopped' but is not one; hooks are build_",
        ),
        (TaskPlugin, "stoped", classmethod(any_arguments), "looks like the hook 'stopped' but is not one"),
        (TaskPlugin, "stopped", no_arguments, r"is a hook and must take \(self, result_set\)"),
        (TaskPlugin, "stopped", staticmethod(no_arguments), None),
        (TaskPlugin, "stopped", classmethod(no_arguments), r"is a hook and must take \(result_set\)"),
        (TaskPlugin, "stopped", functools.partialmethod(any_arguments, more=1), None),
        (TaskPlugin, "stopped", 5, "is a hook and must be callable, not 5"),
        (TaskPlugin, "dispose", property(no_arguments), "is a hook and must be callable, not <property"),
        (TaskPlugin, "dispose", None, None),
        (TaskPlugin, "_stoped", any_arguments, None),
        (TaskPlugin, "helper", any_arguments, None),
        (Plugin, "new_taskplugin", any_arguments, "looks like the method 'new_task_plugin' but is not one"),
        (Plugin, "report_idel", any_arguments, "looks like the method 'report_idle' but is not one"),
        (Plugin, "new_task_plugin", no_arguments, r"is a method and must take \(self, options\)"),
        (Plugin, "name", "mine", None),
    ],
)
@pytest.mark.parametrize("inherited", [False, True])
def test_misspelt_or_unfit_method_is_refused(base, name, value, message, inherited):
    """It does not matter whether the class has the method of its own or from a mixin."""
    bases, body = ((type("Mixin", (), {name: value}), base), {}) if inherited else ((base,), {name: value})

    if message is None:
        assert issubclass(type("Mine", bases, body), base)
    else:
        with pytest.raises(TypeError, match=rf"^Mine\.{name} {message}"):
            type("Mine", bases, body)


def test_generator_is_no_hook():
    """A hook that yields would be made and never run."""
    with pytest.raises(TypeError, match="must not yield"):

        class Yielding(TaskPlugin):
            async def started(self, sandbox):
                yield
