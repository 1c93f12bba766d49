"""Readers of data sets, one module per format; ``snnas.toolchain.data`` is the door to them.

None trusts a file: sizes come from the format and are checked before anything is allocated, nothing is unpickled, and
no archive is extracted (its members are read where they are).
"""
