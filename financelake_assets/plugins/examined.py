"""What this process has examined already: rules and costs are examined once, before the first signal of them."""

from __future__ import annotations

from collections.abc import Callable

from financelake_assets.plugins.declaration import Plugin, PluginError

_PROBLEMS: dict[tuple[Plugin, ...], str | None] = {}


def once(plugins: tuple[Plugin, ...], examine: Callable[[], None]) -> None:
    """Examine plug-ins at the first call, and remember what was found.

    Args:
        plugins: that are used together; none need no examination.
        examine: raises a ``PluginError`` if one of them must not be used.

    Raises:
        PluginError: one of them must not be used, at each call.
    """
    if plugins and plugins not in _PROBLEMS:
        try:
            examine()
            _PROBLEMS[plugins] = None
        except PluginError as error:
            _PROBLEMS[plugins] = str(error)
    problem = _PROBLEMS.get(plugins)
    if problem is not None:
        raise PluginError(problem)
