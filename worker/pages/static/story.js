// What happened, in sentences: the explanation that the worker makes of the trace, and the messages that had no place in the log.
"use strict";
{
  const page = (globalThis.stagecall ??= {});

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

  /** Return the sentences that matter most of an explanation: why, or that all went well. */
  page.gist = (lines, history) => {
    const why = chapters(lines).find((chapter) => chapter.heading === "Why")?.sentences ?? [];
    if (history.state !== "completed") return why.map((sentence) => page.line(sentence, 400).replace(/^First, at/, "At")).join(" ");
    const stored = history.artifacts.size ? `${page.count(history.artifacts.size, "artifact")} ${history.artifacts.size === 1 ? "was" : "were"} stored.` : "";
    return [why[0] ?? "", stored].filter(Boolean).join(" ");
  };

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
      const wrong = history.notes.filter((note) => note.tone !== "late").length;
      const late = history.notes.length - wrong;
      const parts = [wrong ? page.count(wrong, "error") : "", late ? page.count(late, "late message") : "", history.moreNotes ? `${history.moreNotes} more` : ""];
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
    return page.element("div", { class: heading === "Why" ? "chapter why" : "chapter" }, heading && page.element("h3", {}, heading), ...told);
  }

  page.Story = Story;
}
