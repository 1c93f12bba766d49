"""The command line: options in, exit code out; one file a command."""
