"""A service that predicts with machine learning models: over HTTP, and from SQS and Kinesis records.

What a model is (`model`, `manager`, `files`) knows nothing of events; `web` and `records` know nothing of
each other; `handler` tells events apart. Runs on every Python runtime of Lambda from 3.7 on.
"""
