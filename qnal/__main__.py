"""``python -m qnal`` is ``qnal``."""

from qnal.cli import main

if __name__ == "__main__":
    main()
