"""Coursework: graded assignments, and a grader that never runs a submission in its own process. See INSTRUCTORS.md."""
