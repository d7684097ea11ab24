"""The command line: the words of the API, one command a method of the lake.

``app`` is the program, ``options`` the options that commands share, ``output`` what they print; ``fetch``,
``inspect`` and ``local`` hold the commands. They use the public API, and import nothing heavy before a
command needs it, so that ``--help`` is quick.
"""

from cryptolake.cli.app import main as main
