"""Runs one task inside a program of your own: `python examples/embed.py`."""

import stagecall

task = {"payload": {"command": ["sh", "-c", 'test "$GREETING" = hello'], "env": {"GREETING": "hello"}}}

if __name__ == "__main__":
    resolution = stagecall.run_task_sync(task, engine="process", plugins={"success": {}, "env": {}})
    print(resolution.state)
