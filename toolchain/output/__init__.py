"""What a person sees: tables on stdout, progress and narration on stderr."""
