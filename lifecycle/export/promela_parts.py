"""The parts of the Promela model that do not depend on the table: what a driver does, plugins, the world outside."""

HEAD = """\
/* Lifecycle {name}, exported by `stagecall export --format promela`.

   Verify one claim:    spin -a FILE && cc -o pan pan.c && ./pan -a -f -m100000 -N dispose_always
   The assertions:      spin -DASSERTIONS -a FILE && cc -DSAFETY -DNOCLAIM -o pan pan.c && ./pan -m100000
   See how it failed:   spin -t -p FILE */

#define PLUGINS {plugins}
"""

DECLARATIONS = """\

mtype:verdict = {{ none, completed, failed, excepted }};
mtype:verdict resolution = none;
mtype:hook = {{ nothing, creation, judging, plain }};
mtype:hook hook[PLUGINS] = nothing;	/* what runs of each plugin */
bool created[PLUGINS], fenced[PLUGINS], told[PLUGINS];
byte disposals[PLUGINS];
bool aborted, wrong, refused;	/* what decides: an abort, an error, a verdict */
bool closed, disposed, over;
byte exceptions;
bool settled;	/* the last stage in which errors have to count was left for the end */
bool trouble;	/* an error or an abort came before */
bool broken_1, broken_2, broken_4, broken_5, broken_7, broken_8, broken_9;

#define astray		(resolution == none && (wrong || aborted))
#define counting	(!settled && ({counting}))
#define disposing	({disposing})
#define running(p)	(hook[p] != nothing && !fenced[p])
#define all_ended	({all_ended})

/* A rule is broken: the claims see the flag, and with ASSERTIONS the run stops here. */
#ifdef ASSERTIONS
#define breaks(rule)	rule = true; assert(!rule)
#else
#define breaks(rule)	rule = true
#endif
"""

ABANDON = "\t:: atomic {{ running({plugin}) -> abandon({plugin}) }}"

STEPS = """\
inline error()
{
	if
	:: resolution == none -> wrong = true
	:: else
	fi;
	trouble = trouble || counting
}

inline abort_run()
{
	if
	:: resolution == none && !aborted -> aborted = true
	:: else
	fi;
	trouble = trouble || counting
}

inline decide()
{
	if
	:: wrong || aborted -> resolution = excepted
	:: !(wrong || aborted) && refused -> resolution = failed
	:: else -> resolution = completed
	fi
}

inline enter_any(where, been)
{
	stage = where;
	if
	:: been -> breaks(broken_1)
	:: else -> been = true
	fi;
	for (p in hook) {
		if
		:: running(p) -> breaks(broken_5)
		:: else
		fi
	}
}

inline enter(where, been, in_tail)
{
	atomic {
		enter_any(where, been);
		if
		:: exceptions > 0 && !in_tail -> breaks(broken_2)
		:: else
		fi;
		p = 0
	}
}

inline enter_exception(where, been)
{
	atomic {
		enter_any(where, been);
		if
		:: exceptions > 0 -> breaks(broken_2)
		:: else -> exceptions++
		fi;
		p = 0
	}
}

/* Something of the run's own, an engine's call for one: it may fail. */
inline act()
{
	if
	:: true
	:: atomic { true -> error() }
	fi
}

inline close_log()
{
	atomic {
		closed = true;
		if
		:: true
		:: error()
		fi
	}
}

inline report()
{
	atomic {
		if
		:: !closed -> breaks(broken_8)
		:: else
		fi;
		if
		:: true
		:: error()
		fi
	}
}

/* Begin a hook of plugin q, unless an earlier one of it was abandoned. */
inline begin(q, kind)
{
	if
	:: !created[q] && kind != creation -> breaks(broken_9)
	:: else
	fi;
	if
	:: hook[q] != nothing -> breaks(broken_4)
	:: else -> hook[q] = kind
	fi
}

/* Give up on a hook: it overran its time, which is an error, or an abort had called it off, which is none. */
inline abandon(q)
{
	fenced[q] = true;
	if
	:: true -> error()
	:: aborted
	fi
}

/* Wait until every hook has ended or was abandoned. */
inline until_all_ended()
{
	do
	:: atomic { all_ended -> break }
@ABANDON@
	od
}

inline create()
{
	atomic {
		for (p in hook) {
			begin(p, creation)
		}
		p = 0
	}
	act();
	until_all_ended()
}

inline call_hooks(open, judges, telling)
{
	atomic {
		for (p in hook) {
			if
			:: created[p] && !fenced[p] ->
				if
				:: !open && !closed -> breaks(broken_8)
				:: else
				fi;
				told[p] = told[p] || telling;
				begin(p, (judges -> judging : plain))
			:: else
			fi
		}
		p = 0
	}
	until_all_ended()
}

/* The plugin declared last comes first; an abort ends it, an error does not. */
inline call_one_by_one(judges)
{
	p = PLUGINS;
	do
	:: p > 0 ->
		p--;
		atomic {
			if
			:: created[p] && !fenced[p] && (resolution != none || !aborted) ->
				begin(p, (judges -> judging : plain))
			:: else
			fi
		}
		until_all_ended()
	:: else -> break
	od
}

/* Whatever becomes of one, the others follow; beside an abandoned hook it may be called. */
inline dispose()
{
	p = PLUGINS;
	do
	:: p > 0 ->
		atomic {
			p--;
			if
			:: created[p] ->
				if
				:: running(p) -> breaks(broken_4)
				:: else
				fi;
				if
				:: disposals[p] > 0 -> breaks(broken_7)
				:: else -> disposals[p]++
				fi;
				for (q : p + 1 .. PLUGINS - 1) {
					if
					:: created[q] && disposals[q] == 0 -> breaks(broken_7)
					:: else
					fi
				}
				if
				:: true
				:: error()
				fi
			:: else
			fi
		}
	:: else -> break
	od;
	atomic {
		for (p in hook) {
			if
			:: created[p] && disposals[p] != 1 -> breaks(broken_7)
			:: created[p] && !fenced[p] && exceptions > 0 && !told[p] -> breaks(broken_9)
			:: else
			fi
		}
		if
		:: !closed -> breaks(broken_8)
		:: else
		fi;
		p = 0;
		disposed = true
	}
}
"""

PLUGIN = """\
active [PLUGINS] proctype plugin()
{
	byte me = _pid;
end_idle:
	do
	:: atomic {
		hook[me] != nothing ->
		if
		:: true ->	/* it returns */
			created[me] = created[me] || (hook[me] == creation && !fenced[me])
		:: hook[me] == judging && !fenced[me] ->	/* it says that the task failed */
			refused = true
		:: !fenced[me] ->	/* it fails */
			error()
		fi;
		hook[me] = nothing
	}
	:: atomic { hook[me] != nothing -> goto end_hung }
	od;
end_hung:
	/* it hangs, and once abandoned may come back, too late for anything but to be disposed */
	atomic { fenced[me] -> hook[me] = nothing; goto end_idle }
}
"""

OUTSIDE = """\
active proctype outside()
{
	byte times;
end_over:
	do
	:: times < 2 -> atomic { abort_run(); times++ }
	:: break
	od
}
"""
