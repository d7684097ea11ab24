"""In place of the package of this name, which compiles forty grammars when it is imported: a second of each process.

Whatever reads a notebook or draws a picture imports it through jsonschema, which goes on without it: addresses with
letters beyond ASCII in a JSON file are then not looked at, and there are none.
"""

raise ImportError("not needed in tests")
