"""Other APIs' words for the same generations: callers written for them work here unmodified.

Each module speaks one dialect and nothing else; none keeps anything of its own.
"""
