// Draws one row of a log: its number, its text with colours, the matches in it.
//
// Whatever a task printed reaches the document as the text of a node, and as numbers that a colour was worked out from.
(() => {
  "use strict";
  const stagecall = (globalThis.stagecall ??= {});
  const { flags: FLAGS, PLAIN } = stagecall.ansi;

  const MOST_RUNS = 200; // of a row that change how it looks; the rest of it is plain
  const MOST_MARKS = 200;
  const CLASSES = [
    [FLAGS.BOLD, "log-bold"],
    [FLAGS.ITALIC, "log-italic"],
    [FLAGS.UNDERLINE, "log-underline"],
    [FLAGS.STRIKE, "log-strike"],
    [FLAGS.CONTROL, "log-control"],
  ];

  function element(name, className, text) {
    const made = document.createElement(name);
    made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // `number` is null where the row goes on with the line of the row before. `spans` are [start, end] of matches, and
  // `current` the place among them of the one that is being looked at, or -1.
  function drawRow({ number, text, runs, error, target, spans, current, colours }) {
    const row = element("div", "log-row");
    row.setAttribute("role", "listitem");
    row.classList.toggle("log-is-error", error);
    row.classList.toggle("log-is-target", target);
    row.append(drawNumber(number, error));
    const content = element("span", "log-text");
    content.append(...drawText(text, runs, colours, shown(spans, current)));
    row.append(content);
    return row;
  }

  // The nodes of a text, in its colours.
  function drawText(text, runs, colours, marks = []) {
    return pieces(text, runs, marks).map((piece) => drawPiece(piece, text, colours));
  }

  function drawNumber(number, error) {
    const link = element("a", "log-number", number === null ? "↪" : String(number));
    link.tabIndex = -1;
    if (number === null) return link;
    link.href = `#L${number}`;
    link.setAttribute("aria-label", `Line ${number}${error ? ", an error" : ""}`);
    return link;
  }

  // At most MOST_MARKS spans, the current one among them.
  function shown(spans, current) {
    const marks = spans.map(([start, end], at) => ({ start, end, current: at === current }));
    if (marks.length <= MOST_MARKS) return marks;
    const from = Math.max(0, Math.min(current - MOST_MARKS / 2, marks.length - MOST_MARKS));
    return marks.slice(from, from + MOST_MARKS);
  }

  // The text cut wherever a run or a mark begins or ends: {start, end, style, mark}.
  function pieces(text, runs, marks) {
    const result = [];
    const last = runs.length > MOST_RUNS ? MOST_RUNS : runs.length;
    const styled = runs.slice(0, last);
    const styledTo = styled.at(-1)?.end ?? 0;
    if (styledTo < text.length) styled.push({ start: styledTo, end: text.length, style: PLAIN });
    let mark = 0;
    for (const run of styled) {
      for (let at = run.start; at < run.end; ) {
        while (mark < marks.length && marks[mark].end <= at) mark++;
        const next = marks[mark];
        const inside = next !== undefined && next.start <= at;
        const end = Math.min(run.end, inside ? next.end : (next?.start ?? run.end));
        result.push({ start: at, end, style: run.style, mark: inside ? next : null });
        at = end;
      }
    }
    return result;
  }

  function drawPiece({ start, end, style, mark }, text, colours) {
    const content = text.slice(start, end);
    if (style === PLAIN && mark === null) return document.createTextNode(content);
    const names = CLASSES.filter(([flag]) => style.flags & flag).map(([, name]) => name);
    if (mark?.current) names.push("log-current");
    const made = element(mark === null ? "span" : "mark", names.join(" "), content);
    if (mark === null) {
      const { color, background } = colours.of(style);
      if (color !== null) made.style.color = color;
      if (background !== null) made.style.backgroundColor = background;
    }
    return made;
  }

  Object.assign(stagecall, { drawRow, drawText });
})();
