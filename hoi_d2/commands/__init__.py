"""The commands of `hoi-d2`, one module with a `main(argv)` each. Start at `main.py`.

`tools/X.py` calls the same functions. Errors of the user become one line in `main.run`.
"""
