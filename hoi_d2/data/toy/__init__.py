"""The toy world: seeded drawings of people who interact with objects.

- `dataset`: the registered datasets; start here.
- `scene`: chooses and draws the scene of an image.
- `actions`, `places`, `art`: poses of each action, places of objects, and how things are drawn.
"""
