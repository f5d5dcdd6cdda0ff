"""Draw every picture of the package with matplotlib, in one palette."""
