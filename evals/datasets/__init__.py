"""Collections of questions with what is right, as others publish them or as one writes them oneself.

One adapter a layout; `retrieval` and `answers` choose it by what a file or folder holds.
"""
