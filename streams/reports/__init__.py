"""Documents for people who were not there: what a run found, as Markdown and as one HTML file."""
