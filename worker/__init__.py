"""Where a run meets the world: TaskRun (engine and plugins on the lifecycle), the runtime that creates runs, stores, the command line."""
