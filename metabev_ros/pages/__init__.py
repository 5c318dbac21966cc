"""Pages for a browser: their parts, the node's messages as they show them, and the live page.

A page needs nothing from outside: styles, scripts, pictures and films are inside of it.
"""
