"""``python -m financelake_assets.cli`` is ``financelake``."""

from financelake_assets.cli.app import main

if __name__ == "__main__":
    main()
