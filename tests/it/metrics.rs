//! `/metrics`: what it counts, that it counts right, and that nobody can put anything into it.
