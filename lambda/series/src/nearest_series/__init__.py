"""Which of some known series is nearest to one, by dynamic time warping.

`event` reads what is asked for, `warping` is the distance, `handler` is where Lambda calls, and where numba
compiles the distance. Runs on every Python runtime of Lambda from 3.7 on.
"""
