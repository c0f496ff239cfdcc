import os

os.environ["LOOPED_LITE_PROGRESS"] = ""  # what tests solve is nobody's progress
