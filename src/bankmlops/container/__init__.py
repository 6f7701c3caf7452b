"""What a container of the scoring service is made of: the files of its image, and a folder that builds and runs anywhere.

No engine is asked here; `local` does that.
"""
