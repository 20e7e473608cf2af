
"use strict";
// Only adds to the page: it can be read, and its links followed, without this.
(() => {
  document.documentElement.classList.add("js");
  const rows = [...document.querySelectorAll("tr[data-start]")];
  const said = document.getElementById("said");
  const switchedOn = document.getElementById("shortcuts");
  let chosen = null;

  const say = (text) => { said.textContent = ""; requestAnimationFrame(() => { said.textContent = text; }); };
  const sectionOf = (element) => element.closest(".video");
  // An embedded clip holds one moment and begins with it; a whole video is told where the moment starts.
  const clipOf = (row) => row.querySelector("video");
  const playerOf = (row) => clipOf(row) || sectionOf(row).querySelector(".stage video");
  const startOf = (row) => (clipOf(row) ? 0 : Number(row.dataset.start));
  const clock = (seconds) => {
    const whole = Math.max(0, Math.floor(seconds * 10 + 1e-6));
    const pad = (number) => String(number).padStart(2, "0");
    return `${Math.floor(whole / 36000)}:${pad(Math.floor(whole / 600) % 60)}:${pad(Math.floor(whole / 10) % 60)}.${whole % 10}`;
  };

  function seek(player, seconds) {
    const go = () => { player.currentTime = seconds; };
    if (player.readyState >= HTMLMediaElement.HAVE_METADATA) go();
    else { player.addEventListener("loadedmetadata", go, { once: true }); player.preload = "auto"; player.load(); }
  }
  function play(player) {
    for (const other of document.querySelectorAll("video")) if (other !== player) other.pause();
    const started = player.play();
    if (started) started.catch(() => {});
  }
  function choose(row) {
    if (!row) return;
    if (chosen) chosen.classList.remove("chosen");
    chosen = row;
    row.classList.add("chosen");
    const player = playerOf(row);
    if (player) { seek(player, startOf(row)); play(player); }
    if (clipOf(row)) row.scrollIntoView({ block: "nearest" });
    say(`Moment ${row.dataset.rank}, ${row.dataset.from}`);
  }
  async function copy(text) {
    try { await navigator.clipboard.writeText(text); }
    catch {
      const field = document.createElement("textarea");
      const before = document.activeElement;
      field.value = text;
      field.className = "hidden";
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
      if (before) before.focus();
    }
    say(`Copied ${text}`);
  }

  document.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;  // a new tab is wanted
    const link = event.target.closest("[data-moment]");
    if (link) { event.preventDefault(); choose(document.getElementById(link.dataset.moment)); return; }
    const button = event.target.closest("button.copy");
    if (button) {
      copy(button.dataset.text);
      const label = button.textContent;
      if (label !== "Copied") { button.textContent = "Copied"; setTimeout(() => { button.textContent = label; }, 1500); }
      return;
    }
    const curve = event.target.closest("svg.curve");
    if (curve) {
      const box = curve.getBoundingClientRect();
      const player = sectionOf(curve).querySelector(".stage video");
      const share = (event.clientX - box.left) / box.width;
      if (player) seek(player, Number(curve.dataset.offset) + share * Number(curve.dataset.duration));
    }
  });

  for (const section of document.querySelectorAll(".video")) {
    const player = section.querySelector(".stage video");
    if (!player) continue;
    const trouble = section.querySelector(".trouble");
    const fail = () => { trouble.hidden = false; };
    player.addEventListener("error", fail);
    if (player.error) fail();
    const now = section.querySelector(".now");
    const show = () => {
      for (const curve of section.querySelectorAll("svg.curve")) {
        const seconds = player.currentTime - Number(curve.dataset.offset);
        const share = Math.min(1, Math.max(0, seconds / Number(curve.dataset.duration)));
        const head = curve.querySelector(".playhead");
        head.setAttribute("x1", `${share * 100}%`);
        head.setAttribute("x2", `${share * 100}%`);
        head.removeAttribute("visibility");
        now.textContent = `At ${clock(Math.max(0, seconds))}`;
      }
    };
    player.addEventListener("timeupdate", show);
    player.addEventListener("seeked", show);
  }

  function step(by) {
    const at = chosen ? rows.indexOf(chosen) : by > 0 ? -1 : rows.length;
    choose(rows[Math.min(rows.length - 1, Math.max(0, at + by))]);
  }
  function numbered(rank) {
    const here = (chosen || rows[0])?.closest(".answer");
    choose(here?.querySelector(`tr[data-rank="${rank}"]`));
  }
  const currentPlayer = () => (chosen ? playerOf(chosen) : document.querySelector("video"));
  const keys = {
    n: () => step(1),
    p: () => step(-1),
    k: () => { const player = currentPlayer(); if (player) player.paused ? play(player) : player.pause(); },
    c: () => { const row = chosen || rows[0]; if (row) copy(row.dataset.from); },
    "?": () => { const help = document.getElementById("help"); help.open = !help.open; if (help.open) help.scrollIntoView({ block: "nearest" }); },
    ArrowLeft: () => { const player = currentPlayer(); if (player) player.currentTime -= 5; },
    ArrowRight: () => { const player = currentPlayer(); if (player) player.currentTime += 5; },
  };
  document.addEventListener("keydown", (event) => {
    if (!switchedOn.checked || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest("input, textarea, select, video")) return;  // they have keys of their own
    const action = /^[1-9]$/.test(event.key) ? () => numbered(event.key) : Object.hasOwn(keys, event.key) ? keys[event.key] : null;
    if (action) { event.preventDefault(); action(); }
  });
})();
