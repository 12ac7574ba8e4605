"""Summary statistics of a Parquet object on S3, one row group in memory at a time.

`event` reads what is asked for, `summary` reads the object and adds up, `handler` is where Lambda calls.
Runs on every Python runtime of Lambda from 3.7 on.
"""
