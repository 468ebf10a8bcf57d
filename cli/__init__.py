"""goldore's command line: parses, calls the library, shows the result.

Installed as `goldore_cli`; `python -m goldore` finds it in a checkout as well.
"""
