"""How objects show themselves in a notebook: small, escaped HTML, and pictures.

The functions contain no script, do no I/O, follow the page's colours (dark or light), and never raise: what cannot
be drawn is shown as its plain text. The cards of a Query, a Plan, a Lock, a Report and the matrix stand beside what
they draw (``query``, ``planning/cards``, ``report``, ``archive/matrix_table``).
"""
