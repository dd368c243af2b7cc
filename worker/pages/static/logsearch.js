// Looking through all rows of a log in slices of a few milliseconds, and going on as it grows.
(() => {
  "use strict";
  const stagecall = (globalThis.stagecall ??= {});

  const SLICE_MS = 8; // the page stays smooth in between
  const SLOW_MS = 250; // for one row: the expression is one that backtracks without end
  const MOST_ROWS = 20_000; // in one slice, however short they are
  const AHEAD = 256; // characters of the next row, where one line goes on in several rows

  // Calls back soon, after whatever the browser finds more urgent.
  const channel = new MessageChannel();
  const waiting = [];
  channel.port1.onmessage = () => waiting.shift()();
  function later(callback) {
    waiting.push(callback);
    channel.port2.postMessage(null);
  }

  // Finds a regular expression in single rows. The browser's own engine may take for ever with an unlucky expression, which
  // nothing can interrupt: so rows are bounded and looked at one by one, and a search that was slow with one gives up.
  class Pattern {
    // Raises: SyntaxError, in the browser's words.
    constructor(source, { ignoreCase = false } = {}) {
      this.expression = new RegExp(source, ignoreCase ? "giu" : "gu");
    }

    // The matches that are not empty and begin between `from` and `limit`, as [start, end].
    matches(text, { from = 0, limit = text.length } = {}) {
      const { expression } = this;
      const found = [];
      expression.lastIndex = from;
      for (let match; (match = expression.exec(text)) !== null && match.index < limit; ) {
        if (match[0] === "") expression.lastIndex += text.codePointAt(match.index) > 0xffff ? 2 : 1;
        else found.push([match.index, expression.lastIndex]);
      }
      return found;
    }
  }

  // Finds a text as it is.
  class Literal extends Pattern {
    constructor(text, options) {
      super(text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), options);
    }
  }

  // Lines that most likely tell of an error. A heuristic: the worker's own errors, and what it says of a command that did
  // not end well; `error:` and its like as words of their own, not `0 errors` nor `-Werror`; words that test runners and shells write in capitals; names of exceptions before
  // a colon; the first line of a Python traceback; programs that crashed or were not found.
  const ERROR = new RegExp(
    [
      String.raw`\[stagecall:error\]`,
      String.raw`^\[stagecall\] the command (?:exited with code [1-9]|was killed|was ended by signal)`,
      String.raw`(?<![\w-])(?:[Ee]rror|ERROR|[Ff]atal|FATAL|panic)(?:\[\w+\])?:`,
      String.raw`(?<![\w=-])(?:ERROR|FATAL|CRITICAL|ERR!)(?![\w=])`,
      String.raw`(?<!\b0 )(?<![\w=-])(?:FAILED|FAILURE|FAIL)(?![\w=])`,
      String.raw`\b(?:fatal error|not ok \d|undefined reference to)\b`,
      String.raw`\b[A-Z]\w*(?:Error|Exception)(?::|$)`,
      String.raw`Traceback \(most recent call last\)`,
      String.raw`\b(?:Segmentation fault|core dumped|command not found)\b`,
      String.raw`^(?:g?make|ninja)(?:\[\d+\])?: \*\*\*`,
    ].join("|"),
  );

  // Marks whole rows, once each; with the interface of Pattern.
  const ERRORS = Object.freeze({
    matches: (text, { from = 0, limit = text.length } = {}) => (ERROR.test(text) ? [[from, limit]] : []),
  });

  // All matches of a row as [start, end] in its text, also those that reach into the next or come from the row before.
  function matchesIn(store, matcher, row) {
    const text = store.text(row);
    const spans = beginningIn(store, matcher, row, text).map(([start, end]) => [start, Math.min(end, text.length)]);
    if (!store.continued(row) || row === store.firstRow) return { spans, carried: 0 };
    const before = store.text(row - 1);
    const reaching = beginningIn(store, matcher, row - 1, before).at(-1);
    const carried = reaching === undefined ? 0 : Math.min(reaching[1] - before.length, text.length);
    if (carried <= 0) return { spans, carried: 0 };
    return { spans: [[0, carried], ...spans.filter(([start]) => start >= carried)], carried: 1 };
  }

  // The matches that begin in a row. One character of the row before stands in front of the text where a line goes on, so
  // that `^` is only where the line begins; what follows in the next row stands behind.
  function beginningIn(store, matcher, row, text) {
    const before = store.continued(row) && row > store.firstRow ? store.text(row - 1).slice(-1) : "";
    const goesOn = row + 1 < store.rows && store.continued(row + 1);
    const after = goesOn ? store.text(row + 1).slice(0, AHEAD) : "";
    const from = before.length;
    const found = matcher.matches(before + text + after, { from, limit: from + text.length });
    return found.map(([start, end]) => [start - from, end - from]);
  }

  class LogSearch {
    // `onProgress(search)` is called after each slice.
    constructor(store, matcher, onProgress) {
      this.store = store;
      this.matcher = matcher;
      this.onProgress = onProgress;
      this.next = store.firstRow; // the first row not looked at
      this.found = []; // rows with matches
      this.before = []; // matches in the rows before each of them
      this.total = 0;
      this.forgotten = 0; // how many of `found` are of rows that were dropped
      this.stopped = false;
      this.slowAt = null; // the row that took too long, if one did: the search has stopped there
      this.scheduled = false;
      this.extend();
    }

    // Matches in the rows that are kept.
    get count() {
      return this.total - (this.before[this.forgotten] ?? this.total);
    }

    get done() {
      return this.next >= this.ready();
    }

    // A row under way is looked at once it is complete.
    ready() {
      const { store } = this;
      return store.open && !store.ended ? store.rows - 1 : store.rows;
    }

    // Go on: there are more rows, or fewer old ones.
    extend() {
      const { store, found } = this;
      this.next = Math.max(this.next, store.firstRow);
      while (this.forgotten < found.length && found[this.forgotten] < store.firstRow) this.forgotten++;
      if (this.scheduled || this.stopped || this.done) return;
      this.scheduled = true;
      later(() => this.slice());
    }

    slice() {
      this.scheduled = false;
      if (this.stopped) return;
      const end = Math.min(this.ready(), this.next + MOST_ROWS);
      let now = performance.now();
      for (const deadline = now + SLICE_MS; this.next < end && now < deadline; this.next++) {
        const before = now;
        this.look(this.next);
        now = performance.now();
        if (now - before > SLOW_MS) {
          this.slowAt = this.next;
          this.stop();
        }
      }
      this.extend();
      this.onProgress(this);
    }

    look(row) {
      const text = this.store.text(row);
      const count = beginningIn(this.store, this.matcher, row, text).length;
      if (count > 0) {
        this.found.push(row);
        this.before.push(this.total);
        this.total += count;
      }
    }

    stop() {
      this.stopped = true;
    }

    // The place in `found` of the first row from `row` on; found.length if there is none.
    placeOf(row) {
      let low = this.forgotten, high = this.found.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (this.found[middle] < row) low = middle + 1;
        else high = middle;
      }
      return low;
    }

    // How many matches the row at this place has.
    countAt(place) {
      return (this.before[place + 1] ?? this.total) - this.before[place];
    }

    // The match after (`step` 1) or before (-1) one, {place, index}, around the ends; null if there is none.
    beside({ place, index }, step) {
      if (this.found.length === this.forgotten) return null;
      if (index + step >= 0 && index + step < this.countAt(place)) return { place, index: index + step };
      let to = place + step;
      if (to >= this.found.length) to = this.forgotten;
      if (to < this.forgotten) to = this.found.length - 1;
      return { place: to, index: step > 0 ? 0 : this.countAt(to) - 1 };
    }

    // Which of all matches this is, from 1.
    ordinal({ place, index }) {
      return this.before[place] - this.before[this.forgotten] + index + 1;
    }
  }

  Object.assign(stagecall, { LogSearch, Pattern, Literal, ERRORS, later, matchesIn });
})();
