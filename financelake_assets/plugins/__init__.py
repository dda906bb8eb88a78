"""Plug-ins: features, labels, rules, costs and models of a user's own, from entry points of installed packages."""

from financelake_assets.plugins.declaration import Other, Plugin, PluginError, cost, feature, label, model, rule

__all__ = ["Other", "Plugin", "PluginError", "cost", "feature", "label", "model", "rule"]
