"""Plug-ins: features and rules of a user's own, which installed packages register as entry points."""

from financelake_assets.plugins.declaration import Plugin, PluginError, feature, rule

__all__ = ["Plugin", "PluginError", "feature", "rule"]
