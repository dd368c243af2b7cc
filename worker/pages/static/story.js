// What happened, in sentences: the explanation that the worker makes of the trace, and the messages that had no place in the log.
"use strict";
{
  const page = (globalThis.stagecall ??= {});

  /** The heading of this part of the page, which need not stand again above its second paragraph. */
  const TITLE = "What happened";

  /** Return the chapters of an explanation: [{heading, sentences}]; the first has no heading. */
  function chapters(lines) {
    const found = [{ heading: null, sentences: [] }];
    lines.forEach((line, index) => {
      if (line === "") return;
      if (!line.startsWith("  ") && index > 0) found.push({ heading: line, sentences: [] });
      else found.at(-1).sentences.push(line.trim());
    });
    return found;
  }

  /** Return the sentence that matters most: who said that the task failed, what went wrong first, or that nothing did. */
  page.gist = (lines, history) => {
    const why = chapters(lines).find((chapter) => chapter.heading === "Why")?.sentences ?? [];
    if (history.state === "failed" && history.refusals.length) return refused(history.refusals);
    return page.line(why[0] ?? "", 400).replace(/^First, at/, "At");
  };

  function refused(calls) {
    const names = [...new Set(calls.map((call) => page.line(call.plugin ?? "engine", 60)))];
    const who = names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)}` : names[0];
    return `The ${names.length > 1 ? "plugins" : "plugin"} ${who} said in ${page.line(calls[0].stage, 60)} that the task failed.`;
  }

  class Story {
    constructor(view, note) {
      this.note = note;
      this.notes = page.element("ol", { class: "notes", "aria-label": "Errors and late messages" });
      this.told = page.element("div", { class: "chapters" });
      this.none = page.element("p", { class: "empty" }, "Nothing went wrong so far. The whole story is told here when the run is over.");
      view.append(this.none, this.notes, this.told);
      this.count = 0;
    }

    show(history, explanation) {
      for (const note of history.notes.slice(this.count)) this.notes.append(row(note));
      this.count = history.notes.length;
      const of = (tone, what) => {
        const count = history.notes.filter((note) => note.tone === tone).length;
        return count ? page.count(count, what) : "";
      };
      const parts = [of("bad", "error"), of("warn", "warning"), of("late", "late message"), history.moreNotes ? `${history.moreNotes} more` : ""];
      page.say(this.note, parts.filter(Boolean).join(", "));
      this.notes.hidden = this.count === 0;
      this.none.hidden = this.count > 0 || Boolean(explanation);
      if (explanation && this.explained !== explanation) {
        this.explained = explanation;
        this.told.replaceChildren(...chapters(explanation).map(chapter));
      }
    }
  }

  function row({ time, stage, plugin, tone, told }) {
    const where = [page.line(stage, 60), plugin && page.line(plugin, 60)].filter(Boolean).join(" · ");
    const parts = [page.element("span", { class: "when" }, page.duration(time)), page.element("span", { class: "where" }, where), page.element("span", { class: "told" }, page.line(told, 4000))];
    return page.element("li", { class: tone }, ...parts);
  }

  function chapter({ heading, sentences }) {
    const told = sentences.map((sentence) => page.element("p", {}, page.line(sentence, 4000)));
    return page.element("div", { class: heading === "Why" ? "chapter why" : "chapter" }, heading === null || heading === TITLE ? null : page.element("h3", {}, heading), ...told);
  }

  page.Story = Story;
}
