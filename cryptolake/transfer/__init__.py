"""Moving files from the archive into Bronze: chosen mode, verified, recorded, resumable."""
