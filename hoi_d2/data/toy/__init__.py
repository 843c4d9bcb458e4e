"""The toy world: seeded drawings of people who do things with objects."""
