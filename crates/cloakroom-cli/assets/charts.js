// The numbers of the admin page, each second. Without this script the page loads itself anew every few seconds.
"use strict";

(() => {
  const tiles = document.querySelector("[data-numbers]");
  const pulse = document.getElementById("pulse");
  const text = document.getElementById("pulse-text");
  if (!tiles || !pulse || !text) return;

  const say = (state, words) => {
    if (pulse.dataset.state === state && text.textContent === words) return;
    pulse.dataset.state = state;
    text.textContent = words;
  };

  const show = (numbers) => {
    for (const number of numbers) {
      const tile = tiles.querySelector(`[data-tile="${CSS.escape(number.id)}"]`);
      if (!tile) continue;
      const value = tile.querySelector(".tile-value");
      if (value.textContent !== number.value) value.textContent = number.value;
      tile.querySelector(".tile-detail").textContent = number.detail;
      tile.querySelector("polygon").setAttribute("points", number.spark.area);
      tile.querySelector("polyline").setAttribute("points", number.spark.line);
    }
  };

  // Where several instances take turns at one address, each counts for itself: another one's numbers are not this page's.
  const TRIES = 8;

  const ask = async (tries = TRIES) => {
    // A page nobody looks at asks for nothing.
    if (document.hidden) return;
    const answer = await fetch(tiles.dataset.numbers, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (answer.status === 401) {
      location.assign("/admin/enter");
      return;
    }
    if (!answer.ok) throw new Error(`${answer.status}`);
    const numbers = await answer.json();
    if (numbers.instance === tiles.dataset.instance) {
      show(numbers.tiles);
      say("live", "Live");
    } else if (tries > 1) {
      await ask(tries - 1);
    } else {
      say("lost", "Only other instances answer");
    }
  };

  const again = () =>
    ask()
      .catch(() => say("lost", "The program does not answer"))
      .finally(() => setTimeout(again, 1000));
  again();
})();
