// Regular expressions that cannot freeze the page.
//
// The browser's own engine backtracks: `(a+)+$` on one unlucky line runs for years, and nothing can stop it. Here all ways
// to match are followed side by side (Thompson's construction, run as a Pike machine), so the time is at most
// proportional to the length of the text times that of the pattern, whatever the pattern. The syntax and the preference
// among matches are JavaScript's with the flag `u`, without what cannot be had at that price: look-around and
// back-references are refused by name. `^` and `$` are the ends of a line. (What may repeat and be empty at once, such as
// `(a??)*`, is the one thing that JavaScript reads in a way of its own.)
(() => {
  "use strict";
  const stagecall = (globalThis.stagecall ??= {});

  const LONGEST = 1000; // characters of a pattern
  const MOST_STEPS = 2000; // instructions of its program
  const MOST_WORK = 4_000_000; // steps for all matches in one text
  const CHAR = 0, SPLIT = 1, JUMP = 2, ASSERT = 3, MATCH = 4;

  const MANY = Infinity;
  const DIGITS = [48, 57];
  const WORD = [48, 57, 65, 90, 95, 95, 97, 122];
  const SPACE = [9, 13, 32, 32, 160, 160, 0x1680, 0x1680, 0x2000, 0x200a, 0x2028, 0x2029, 0x202f, 0x202f,
    0x205f, 0x205f, 0x3000, 0x3000, 0xfeff, 0xfeff];
  const LINE_ENDS = [10, 10, 13, 13, 0x2028, 0x2029];
  const CLASSES = { d: DIGITS, w: WORD, s: SPACE };
  const CONTROLS = { n: 10, t: 9, r: 13, f: 12, v: 11, 0: 0 };

  const within = (ranges, code) => {
    for (let at = 0; at < ranges.length; at += 2) if (code >= ranges[at] && code <= ranges[at + 1]) return true;
    return false;
  };
  const isWord = (code) => within(WORD, code);
  const outside = (ranges) => {
    const result = [];
    let next = 0;
    for (let at = 0; at < ranges.length; at += 2) {
      if (ranges[at] > next) result.push(next, ranges[at] - 1);
      next = ranges[at + 1] + 1;
    }
    return next <= 0x10ffff ? [...result, next, 0x10ffff] : result;
  };

  const single = (text) => ([...text].length === 1 ? text.codePointAt(0) : null);
  function variants(code) {
    const text = String.fromCodePoint(code);
    return [single(text.toLowerCase()) ?? code, single(text.toUpperCase()) ?? code];
  }

  // A set of characters; a table answers for ASCII.
  class CharacterSet {
    constructor(ranges, negated, ignoreCase) {
      this.ranges = ranges;
      this.negated = negated;
      this.ignoreCase = ignoreCase;
      this.ascii = Uint8Array.from({ length: 128 }, (_, code) => this.decide(code));
    }

    decide(code) {
      const found =
        within(this.ranges, code) ||
        (this.ignoreCase && variants(code).some((variant) => within(this.ranges, variant)));
      return found !== this.negated;
    }

    has(code) {
      return code < 128 ? this.ascii[code] === 1 : this.decide(code);
    }
  }

  // Reads a pattern into a tree of {kind: set | sequence | choice | repeat | assert}.
  class Parser {
    constructor(source, ignoreCase) {
      if (source.length > LONGEST) throw new SyntaxError(`longer than ${LONGEST} characters`);
      this.source = [...source];
      this.at = 0;
      this.ignoreCase = ignoreCase;
    }

    peek(text) {
      return [...text].every((character, offset) => this.source[this.at + offset] === character);
    }

    take(text) {
      const found = this.peek(text);
      if (found) this.at += text.length;
      return found;
    }

    parse() {
      const tree = this.choice();
      if (this.at < this.source.length) throw new SyntaxError("a ) without its (");
      return tree;
    }

    choice() {
      const options = [this.sequence()];
      while (this.take("|")) options.push(this.sequence());
      return options.length === 1 ? options[0] : { kind: "choice", options };
    }

    sequence() {
      const parts = [];
      while (this.at < this.source.length && !this.peek("|") && !this.peek(")")) parts.push(this.repeated());
      return { kind: "sequence", parts };
    }

    repeated() {
      const node = this.atom();
      const [least, most] = this.quantifier() ?? [1, 1];
      if (least === 1 && most === 1) return node;
      if (node.kind === "assert") throw new SyntaxError("an assertion cannot be repeated");
      const lazy = this.take("?");
      if (this.quantifier()) throw new SyntaxError("nothing to repeat");
      return { kind: "repeat", node, least, most, lazy };
    }

    quantifier() {
      if (this.take("*")) return [0, MANY];
      if (this.take("+")) return [1, MANY];
      if (this.take("?")) return [0, 1];
      const counts = /^\{(\d{1,4})(?:(,)(\d{1,4})?)?\}/.exec(this.source.slice(this.at, this.at + 12).join(""));
      if (counts === null) return null;
      this.at += counts[0].length;
      const least = Number(counts[1]);
      const most = counts[3] ? Number(counts[3]) : counts[2] ? MANY : least;
      if (most < least) throw new SyntaxError(`numbers out of order in ${counts[0]}`);
      return [least, most];
    }

    atom() {
      if (this.take("(")) return this.group();
      if (this.take("[")) return this.bracket();
      if (this.take("^")) return { kind: "assert", what: "start" };
      if (this.take("$")) return { kind: "assert", what: "end" };
      if (this.take(".")) return this.set(LINE_ENDS, true);
      if (this.take("\\")) return this.escaped();
      if (this.peek("*") || this.peek("+") || this.peek("?")) throw new SyntaxError("nothing to repeat");
      return this.literal(this.source[this.at++].codePointAt(0));
    }

    set(ranges, negated = false) {
      return { kind: "set", set: new CharacterSet(ranges, negated, this.ignoreCase) };
    }

    literal(code) {
      return this.set([code, code]);
    }

    group() {
      if (["?=", "?!", "?<=", "?<!"].some((opening) => this.peek(opening))) {
        throw new SyntaxError("look-ahead and look-behind are not supported");
      }
      if (this.take("?<")) {
        while (this.at < this.source.length && !this.peek(">")) this.at++;
        this.at++;
      } else if (this.peek("?") && !this.take("?:")) throw new SyntaxError("unknown kind of group (?");
      const tree = this.choice();
      if (!this.take(")")) throw new SyntaxError("a ( without its )");
      return tree;
    }

    escaped() {
      const character = this.source[this.at];
      if (character === "b" || character === "B") {
        this.at++;
        return { kind: "assert", what: character === "b" ? "boundary" : "inside" };
      }
      if (/[1-9k]/.test(character ?? "")) throw new SyntaxError("back-references are not supported");
      const ranges = this.escapedRanges();
      return this.set(ranges);
    }

    // What follows a backslash, in a class or outside of one.
    escapedRanges() {
      const character = this.source[this.at++];
      if (character === undefined) throw new SyntaxError("\\ at the end");
      if (CLASSES[character]) return CLASSES[character];
      const lower = character.toLowerCase();
      if (CLASSES[lower]) return outside(CLASSES[lower]);
      const code = this.escapedCode(character);
      return [code, code];
    }

    escapedCode(character) {
      if (character in CONTROLS) return CONTROLS[character];
      const rest = this.source.slice(this.at, this.at + 10).join("");
      const digits = { x: /^([0-9a-f]{2})/i, u: /^(?:\{([0-9a-f]{1,6})\}|([0-9a-f]{4}))/i }[character]?.exec(rest);
      if (digits) {
        this.at += digits[0].length;
        return Number.parseInt(digits[1] ?? digits[2], 16);
      }
      if (/[a-z0-9]/i.test(character)) throw new SyntaxError(`unknown escape \\${character}`);
      return character.codePointAt(0);
    }

    bracket() {
      const negated = this.take("^");
      const ranges = [];
      while (!this.take("]")) {
        const first = this.member();
        if (first.length === 2 && first[0] === first[1] && this.peek("-") && this.source[this.at + 1] !== "]") {
          this.at++;
          const last = this.member();
          if (last[0] !== last.at(-1) || last[0] < first[0]) throw new SyntaxError("a range out of order in []");
          ranges.push(first[0], last[0]);
        } else ranges.push(...first);
      }
      return this.set(ranges, negated);
    }

    member() {
      if (this.at >= this.source.length) throw new SyntaxError("a [ without its ]");
      if (this.take("\\b")) return [8, 8];
      if (this.take("\\")) return this.escapedRanges();
      const code = this.source[this.at++].codePointAt(0);
      return [code, code];
    }
  }

  // Writes a tree as a program: parallel arrays of what to do, with two arguments each.
  class Program {
    constructor(tree) {
      this.kinds = [];
      this.first = [];
      this.second = [];
      this.write(tree);
      this.emit(MATCH);
    }

    emit(kind, first = null, second = null) {
      if (this.kinds.length >= MOST_STEPS) throw new SyntaxError("too large: fewer or smaller repetitions, please");
      this.first.push(first);
      this.second.push(second);
      return this.kinds.push(kind) - 1;
    }

    here() {
      return this.kinds.length;
    }

    write(node) {
      if (node.kind === "set") this.emit(CHAR, node.set);
      else if (node.kind === "assert") this.emit(ASSERT, node.what);
      else if (node.kind === "sequence") node.parts.forEach((part) => this.write(part));
      else if (node.kind === "choice") this.writeChoice(node.options);
      else this.writeRepeat(node);
    }

    writeChoice(options) {
      const jumps = [];
      options.forEach((option, at) => {
        if (at === options.length - 1) return this.write(option);
        const split = this.emit(SPLIT, this.here() + 1);
        this.write(option);
        jumps.push(this.emit(JUMP));
        this.second[split] = this.here();
        return undefined;
      });
      for (const jump of jumps) this.first[jump] = this.here();
    }

    writeRepeat({ node, least, most, lazy }) {
      for (let count = 0; count < least; count++) this.write(node);
      const exits = [];
      const optional = most === MANY ? 1 : most - least;
      for (let count = 0; count < optional; count++) {
        const split = this.emit(SPLIT);
        exits.push(split);
        this.write(node);
        if (most === MANY) this.emit(JUMP, split);
      }
      for (const split of exits) {
        [this.first[split], this.second[split]] = lazy ? [this.here(), split + 1] : [split + 1, this.here()];
      }
    }
  }

  // Ways to match at one place in the text, the preferred first, each instruction at most once.
  class Threads {
    constructor(size) {
      this.steps = new Int32Array(size);
      this.starts = new Int32Array(size);
      this.count = 0;
    }
  }

  class Pattern {
    // Raises: SyntaxError, which says what is wrong or not supported.
    constructor(source, { ignoreCase = false } = {}) {
      this.program = new Program(new Parser(source, ignoreCase).parse());
      const size = this.program.kinds.length;
      this.now = new Threads(size);
      this.next = new Threads(size);
      this.visited = new Float64Array(size); // the generation in which an instruction was last followed
      this.generation = 0;
      this.stack = [];
      this.begins = this.firsts();
      this.work = 0;
      this.cut = 0; // texts in which not all matches were looked for, because of MOST_WORK
    }

    // A table of the ASCII characters that a match can begin with, or null if it can be empty.
    firsts() {
      const { kinds, first, second } = this.program;
      const table = new Uint8Array(128);
      const seen = new Set();
      const queue = [0];
      while (queue.length > 0) {
        const step = queue.pop();
        if (seen.has(step)) continue;
        seen.add(step);
        if (kinds[step] === MATCH) return null;
        if (kinds[step] === CHAR) first[step].ascii.forEach((has, code) => (table[code] |= has));
        else if (kinds[step] === ASSERT) queue.push(step + 1);
        else queue.push(first[step], ...(kinds[step] === SPLIT ? [second[step]] : []));
      }
      return table;
    }

    // The matches in a text that are not empty and begin before `limit`, as [start, end], from left to right.
    matches(text, { limit = text.length, lineStart = true, lineEnd = true } = {}) {
      const found = [];
      this.text = text;
      this.lineStart = lineStart;
      this.lineEnd = lineEnd;
      this.work = 0;
      for (let from = 0; from < limit; ) {
        const match = this.find(from, limit);
        if (match === null) break;
        if (match[1] > match[0]) found.push(match);
        from = match[1] > match[0] ? match[1] : match[1] + 1;
      }
      if (this.work > MOST_WORK) this.cut++;
      return found;
    }

    find(from, limit) {
      const { text } = this;
      let match = null;
      this.now.count = 0;
      for (let at = from; ; ) {
        if (this.now.count === 0) {
          if (match !== null || at > limit || this.work > MOST_WORK) return match;
          at = this.skip(at);
        }
        if (match === null && at < limit) {
          if (this.now.count === 0) this.generation++;
          this.follow(this.now, 0, at, at);
        }
        const code = at < text.length ? text.codePointAt(at) : -1;
        const after = at + (code > 0xffff ? 2 : 1);
        match = this.advance(code, at, after) ?? match;
        [this.now, this.next] = [this.next, this.now];
        if (code === -1) return match;
        at = after;
      }
    }

    // The next place where a match may begin.
    skip(at) {
      const { text, begins } = this;
      if (begins === null) return at;
      let code;
      while (at < text.length && (code = text.charCodeAt(at)) < 128 && begins[code] === 0) at++;
      return at;
    }

    // Take one character on all ways; return the match that the preferred ways have come to, if any.
    advance(code, at, after) {
      const { now, next } = this;
      const { kinds, first } = this.program;
      this.generation++;
      next.count = 0;
      this.work += now.count + 1;
      for (let index = 0; index < now.count; index++) {
        const step = now.steps[index];
        if (kinds[step] === MATCH) return [now.starts[index], at]; // those less preferred are given up
        if (code !== -1 && first[step].has(code)) this.follow(next, step + 1, now.starts[index], after);
      }
      return null;
    }

    // Add what can be reached from a step without taking a character.
    follow(threads, step, start, at) {
      const { stack, visited, generation } = this;
      const { kinds, first, second } = this.program;
      stack.push(step);
      while (stack.length > 0) {
        step = stack.pop();
        if (visited[step] === generation) continue;
        visited[step] = generation;
        this.work++;
        const kind = kinds[step];
        if (kind === CHAR || kind === MATCH) {
          threads.steps[threads.count] = step;
          threads.starts[threads.count++] = start;
        } else if (kind === JUMP) stack.push(first[step]);
        else if (kind === SPLIT) stack.push(second[step], first[step]);
        else if (this.asserted(first[step], at)) stack.push(step + 1);
      }
    }

    asserted(what, at) {
      const { text } = this;
      if (what === "start") return at === 0 && this.lineStart;
      if (what === "end") return at === text.length && this.lineEnd;
      const boundary = isWord(text.charCodeAt(at - 1)) !== isWord(text.charCodeAt(at));
      return (what === "boundary") === boundary;
    }
  }

  stagecall.Pattern = Pattern;
})();
