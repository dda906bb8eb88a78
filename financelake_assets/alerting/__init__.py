"""Rule alerts: a user's rules on bars, signals and the paper portfolio, and the messages that they send.

An operational alert (``operations/``) tells what is wrong with the lake; a rule alert tells that a rule holds now.
"""
