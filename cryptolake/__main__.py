"""``python -m cryptolake``: the command line."""

from cryptolake.cli import main

if __name__ == "__main__":
    main()
