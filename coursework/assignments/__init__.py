"""The graded assignments, one a file."""
