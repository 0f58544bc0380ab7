"""``python -m qnal`` runs the ``qnal`` command."""

from qnal.cli import main

if __name__ == "__main__":
    main()
