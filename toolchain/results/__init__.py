"""What ``--json`` prints: one record per document, and its JSON Schema."""
