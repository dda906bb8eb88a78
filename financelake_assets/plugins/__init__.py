"""Plug-ins: features, labels, rules and costs of a user's own, which installed packages register as entry points."""

from financelake_assets.plugins.declaration import Plugin, PluginError, cost, feature, label, rule

__all__ = ["Plugin", "PluginError", "cost", "feature", "label", "rule"]
