"""The plugin `livelog`: a task's log can be read over HTTP while the task runs.

It is a folder because serving a log is used by the run page too: `serving.LogHandler` needs no plugin.
"""
