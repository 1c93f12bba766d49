"""The rules of ``snnas check``, by what they look at."""
