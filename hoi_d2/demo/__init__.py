"""The demo: images, folders, videos, cameras and the web page."""
