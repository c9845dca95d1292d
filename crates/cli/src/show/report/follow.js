"use strict";
// Keeps the page as the server has it. What has changed is changed in place: the page stays where it was scrolled to, a selection
// stays, and what was opened stays open.
(() => {
  const RETRY_MS = 3000;

  const isSame = (old, fresh) => old.nodeName === fresh.nodeName && old.id === fresh.id;

  function renew(old, fresh) {
    if (old.isEqualNode(fresh)) {
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      old.nodeValue = fresh.nodeValue;
      return;
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) {
        old.setAttribute(name, value);
      }
    }
    for (const { name } of [...old.attributes]) {
      // The reader's, not the server's.
      if (!fresh.hasAttribute(name) && name !== "open") {
        old.removeAttribute(name);
      }
    }
    let at = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      if (at !== null && isSame(at, child)) {
        const next = at.nextSibling;
        renew(at, child);
        at = next;
      } else {
        old.insertBefore(document.importNode(child, true), at);
      }
    }
    while (at !== null) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  }

  function say(words) {
    const line = document.getElementById("following");
    line.textContent = words;
    line.classList.add("lost");
  }

  async function follow() {
    for (;;) {
      try {
        // Answered as soon as there is something new.
        const answer = await fetch("state?after=" + document.body.dataset.state, { cache: "no-store" });
        if (!answer.ok) {
          throw new Error(answer.statusText);
        }
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        renew(document.body, page.body);
        if ("ended" in document.body.dataset) {
          return;
        }
      } catch {
        say("Not followed any more: backfill report --follow has ended. What is shown is how the run stood then.");
        await new Promise((resume) => setTimeout(resume, RETRY_MS));
      }
    }
  }

  if (!("ended" in document.body.dataset)) {
    follow();
  }
})();
