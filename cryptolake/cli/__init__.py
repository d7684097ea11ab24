"""The command line: the words of the API, one command a method of the lake.

``app`` holds the commands, ``words`` the options they share, ``show`` what they print; ``reading``,
``moving`` and ``local`` are the commands themselves. Nothing here knows more than the public API, and
nothing heavy is imported before a command needs it, so that ``--help`` is quick.
"""

from cryptolake.cli.app import main as main
