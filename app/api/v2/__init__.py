"""The Comfy API v2 over the same generations: a job is a generation, an asset is an upload or an output.

Owns that API's words and shapes, as its vendor has published them; what happens is the use cases' business.
"""
