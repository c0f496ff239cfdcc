"""What made data/results: train and measure many models, one small file a model. Run from the checkout: ``python -m
experiments NAME``.

`sweep` runs a list of jobs and keeps what they found; `measures` holds what is measured on any loop; one file a task
names the jobs of its experiments; `claims` reads the rows and says which of the paper's claims hold here.
"""
