"""What the archive's S3 listing says exists: asked for in ``client``, parsed in ``pages``, kept in ``cache``.

``listing`` answers by what is kept, and asks for the rest; ``snapshot`` is its answer as tables. ``lifetimes`` finds
since when and until when a symbol has files; ``symbols`` makes the table of them.
"""
