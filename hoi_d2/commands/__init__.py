"""One module for each command; tools/ and the console command `hoi-d2` call their `main`."""
