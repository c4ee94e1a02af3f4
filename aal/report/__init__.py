"""Reports: self-contained HTML pages, and their figures as files.

Nothing is imported here: a study's process prints numbers without the seconds that the figures' libraries take.
"""
