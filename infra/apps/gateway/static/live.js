// Progress of running jobs, as it happens; without this script a reload shows the same.
for (const place of document.querySelectorAll("[data-run]")) {
  const source = new EventSource(`/runs/${place.dataset.run}/events`);
  source.addEventListener("run", (message) => {
    const run = JSON.parse(message.data);
    const bar = place.querySelector("progress");
    if (bar) bar.value = run.percent;
    const detail = place.querySelector(".detail");
    if (detail) detail.textContent = run.detail;
    const known = place.dataset.reload;
    const now = run.state + run.waiting_for;
    if (known !== undefined && known !== now) location.reload();
    if (["completed", "failed", "rejected", "cancelled"].includes(run.state)) source.close();
  });
}
