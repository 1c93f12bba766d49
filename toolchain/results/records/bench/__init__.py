"""What ``snnas bench`` prints of snnas itself."""
