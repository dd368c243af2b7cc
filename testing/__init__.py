"""What the promises of a run are checked with: on your plugins, engines and lifecycles, and on our own.

Each module stands alone and is imported by its name; this one imports none of them.

| to | use |
|---|---|
| put a plugin or an engine through all that its interface promises | `plugin_conformance`, `engine_conformance` |
| put a store of artifacts through what it promises | `store_conformance` |
| see that each check of these kits can fail | `mutants`: plugins, engines and stores broken on purpose |
| write a kit of checks yourself | `conformance` |
| write single tests: runs, and stand-ins for what surrounds them | `doubles` |
| say what goes wrong in a run, and play it | `chaos` |
| draw payloads, lifecycles, behaviours and fault schedules at random | `strategies` (needs hypothesis) |
| move a run at random, step by step | `machine` (needs hypothesis) |
| let every call fail in every way, each case under an id | `faults` |
| cancel or abort at every point where a scenario is suspended | `sweep` |
| let what is ready go on in every order | `explorer` |
| find what is left behind: processes, descriptors, files, threads, tasks | `leaks` |
| let timers take no time | `virtual_time` |

The fixtures and the marker for pytest are in `pytest_plugin`, which pytest loads by itself. `pip install
'stagecall[testing]'` brings what these modules need.
"""
