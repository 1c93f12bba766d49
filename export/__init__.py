"""Export: network -> NIR -> program. Holds the compiler and every file format; imports hw_sim alone."""
