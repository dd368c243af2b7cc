"""Plugins are called at each stage of a run: their interface, their manager, and where they are found."""

from __future__ import annotations

from .base import EVERY_OTHER, Plugin, PluginOptions, PluginProvider, TaskPlugin, TaskPluginOptions
from .manager import PluginManager, plugin_manager_config_schema
from .registry import plugins, register

__all__ = [
    "EVERY_OTHER",
    "Plugin",
    "PluginManager",
    "PluginOptions",
    "PluginProvider",
    "TaskPlugin",
    "TaskPluginOptions",
    "plugin_manager_config_schema",
    "plugins",
    "register",
]
