"""What the archive's S3 listing says exists: asked in ``pages``, kept in ``cache``, read by ``listing``.

``pages`` asks over ``web``, signs by ``signed`` where it must, and reads what comes by ``answers``.
``spans`` finds since when and until when a symbol has files; ``symbols`` makes the table of them.
"""
