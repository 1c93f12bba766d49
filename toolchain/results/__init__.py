"""What snnas prints with ``--json``, and the files that it reads back: one typed record per document.

``records/`` holds the records, ``documents`` finds one by its name, ``schemas`` makes the published JSON Schema of it,
``reading`` holds a file against it. A field is added in its record alone: the docstring under it describes it, and
``OrAbsent`` says that files of before lack it; then ``python -m tests.toolchain.results.contract`` notes the change.
"""
