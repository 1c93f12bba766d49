"""``snnas bench``: measurements that anybody can repeat, of speed and of exactness."""
