"""What the scientific studies (tests/studies) print."""
