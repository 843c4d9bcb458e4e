"""HTML pages over folders of drawn images."""
