// Progress as it happens; without this script a reload shows the same.
const ended = ["completed", "failed", "rejected", "cancelled"];

function show(place, run) {
  const bar = place.querySelector("progress");
  if (bar) bar.value = Math.max(bar.value, run.percent);
  const detail = place.querySelector(".detail");
  if (detail) detail.textContent = run.detail;
}

// The page of one run: a stream of its changes.
for (const place of document.querySelectorAll("[data-reload]")) {
  if (ended.some((state) => place.dataset.reload.startsWith(state))) continue;
  const source = new EventSource(`/runs/${place.dataset.run}/events`);
  source.addEventListener("run", (message) => {
    const run = JSON.parse(message.data);
    show(place, run);
    if (ended.includes(run.state)) source.close();
    const now = `${run.state}${run.waiting_for}${run.round}${Number(run.stopping)}`;
    // What somebody is typing is not thrown away because somebody else has answered.
    if (place.dataset.reload === now || document.querySelector("form[data-dirty]")) return;
    location.reload();
  });
}

// Times where the reader is.
for (const time of document.querySelectorAll("time[data-local]")) {
  time.textContent = new Date(time.dateTime).toLocaleString(document.documentElement.lang, {
    calendar: "gregory",
    dateStyle: "long",
    timeStyle: "short",
  });
}

// A list of many: one question for all, because a browser opens six streams at most.
const listed = document.querySelectorAll("li[data-run]");
if (listed.length) {
  setInterval(async () => {
    const answer = await fetch("/runs?limit=100");
    if (!answer.ok) return;
    for (const run of await answer.json()) {
      for (const place of listed) if (place.dataset.run === run.id) show(place, run);
    }
  }, 2000);
}
