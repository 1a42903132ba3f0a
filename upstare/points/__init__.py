"""The point tables: what the linker step learns from the notes of the update points and from the machine code.

notes.py reads the raw notes, code.py the text around them, returns.py proves where returns lead, table.py puts the
tables together, layout.py has their bytes, keep.py helps the linker with the notes.
"""
