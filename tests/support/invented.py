"""A lifecycle with two invented stages: one with an action and a hook of its own, one whose hooks judge, in
reverse order.
"""

from stagecall.specs.lifecycle import TASK_RUN, Combine, Order, Stage

INVENTED = TASK_RUN.insert(
    Stage("scan", action="scan", hook="scanned", arguments=("builder",), does="looks for viruses"),
    after="build",
).insert(
    Stage("audit", hook="audited", arguments=("result_set",), combine=Combine.ALL, order=Order.REVERSE),
    after="stopped",
    name="audited-run",
)

INVENTED_YAML = """\
name: audited-run
stages:
  - {name: pending, next: prepare, onException: exception, does: waits to be driven; nothing is acquired yet}
  - name: prepare
    next: build
    onException: exception
    action: prepare
    hook: new_task_plugin
    arguments: [options]
    actionCallsHook: true
    does: validates the payload; creates sandbox builder and task plugins side by side
  - {name: build, next: scan, onException: exception, hook: build_sandbox, arguments: [builder]}
  - name: scan
    next: start
    onException: exception
    action: scan
    hook: scanned
    arguments: [builder]
    does: looks for viruses
  - {name: start, next: started, onException: exception, action: start_sandbox, does: starts the sandbox}
  - {name: started, next: waiting, onException: exception, hook: started, arguments: [sandbox]}
  - name: waiting
    next: stopped
    onException: exception
    action: wait_for_result
    does: waits for the sandbox to end
  - {name: stopped, next: audit, onException: exception, hook: stopped, arguments: [result_set], combine: all}
  - name: audit
    next: finished
    onException: exception
    hook: audited
    arguments: [result_set]
    combine: all
    order: reverse
  - name: finished
    next: resolved
    onException: exception
    action: close_log
    hook: finished
    arguments: [success]
    does: closes the task log
  - name: exception
    next: resolved
    action: give_up
    hook: exception
    arguments: [reason]
    does: cancels the context, aborts the sandbox, closes the log
  - {name: resolved, next: dispose, action: report, does: reports the resolution to whoever handed the task over}
  - name: dispose
    action: dispose
    hook: dispose
    order: reverse
    actionCallsHook: true
    does: task plugins in reverse order, result set, sandbox, builder, temporary folder, context
"""
