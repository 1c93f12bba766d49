"""The records, a module per document or a few that belong together; parts that several share are in ``shared``."""
