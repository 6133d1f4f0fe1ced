"""The commands that speak to a running service: HTTP by way of `comfy_relay`, words for people, exit codes for scripts.

A command knows nothing of the inside, so it works the same against a service on another machine. What it found goes to
stdout, and nothing else does; what it does meanwhile goes to stderr. `app.cli` puts the commands together.
"""
