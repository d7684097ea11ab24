"""What the archive's S3 listing says exists: asked in ``pages``, kept in ``cache``, read by ``listing``.

``spans`` finds since when and until when a symbol has files; ``symbols`` makes the table of them.
"""
