"""Learning from a stream whose labels arrive late: three policies scored side by side, test before train.

`loop.OnlineLoop` is the whole of it, and knows no backend: what it needs of one, a training run on a window, is a function that
it is given (`training`).
"""
