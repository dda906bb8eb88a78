"""What a file of prices can look like: dialects, names, times, numbers, symbols, and the guards against wrong guesses.

Input: bytes, header names and first rows. Output: a ``Reading`` that says how each column is taken, or questions for
the user. Nothing here publishes or knows of Kafka. A guess that could be wrong in silence is not made but asked for.
"""
