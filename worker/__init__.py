"""Where a run meets the world.

TaskRun is engine and plugins on the lifecycle; beside it are the runtime that creates runs, stores, and the
command line.
"""
