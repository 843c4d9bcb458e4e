"""The commands of `hoi-d2`, one module with a `main(argv)` each. Start at `main.py`.

`tools/X.py` calls the same functions. `main.run` turns user errors into one line.
"""
