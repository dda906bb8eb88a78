"""``python -m financelake_assets.runtime`` is ``financelake``."""

from financelake_assets.runtime.cli import main

if __name__ == "__main__":
    main()
