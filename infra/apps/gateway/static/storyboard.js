// Moving, adding and removing shots on the page itself. Without this script each button sends the
// form and gets it back changed.
const form = document.querySelector("[data-storyboard]");
const list = form.querySelector(".shots");
const blank = form.querySelector("[data-blank]");
const said = form.querySelector("[data-said]");
let touched = false;

function shots() {
  return [...list.querySelectorAll("[data-shot]")];
}

function renumber() {
  for (const [index, shot] of shots().entries()) {
    const number = index + 1;
    shot.querySelector("[data-number]").textContent = number;
    for (const button of shot.querySelectorAll("[data-edit]")) {
      button.value = `${button.dataset.edit}:${number}`;
      const label = button.getAttribute("aria-label");
      button.setAttribute("aria-label", label.replace(/\d+/, number));
    }
  }
}

function changed(message) {
  touched = true;
  form.dataset.dirty = "";
  renumber();
  if (message) said.textContent = message;
}

// What was sent is not lost by leaving the page.
window.addEventListener("beforeunload", (event) => {
  if (touched) event.preventDefault();
});
form.addEventListener("submit", () => {
  touched = false;
});

form.addEventListener("click", (event) => {
  const button = event.target.closest("button[name=edit]");
  if (!button) return;
  event.preventDefault();
  const shot = button.closest("[data-shot]");
  const edit = button.dataset.edit;
  if (edit === "add") {
    list.append(blank.content.cloneNode(true));
    changed(`${shots().length}`);
    shots().at(-1).querySelector("textarea").focus();
  } else if (edit === "remove" && shots().length > 1) {
    const next = shot.nextElementSibling ?? shot.previousElementSibling;
    shot.remove();
    changed(`${shots().length}`);
    next.querySelector("[data-edit=remove]").focus();
  } else if (edit === "up" && shot.previousElementSibling) {
    shot.previousElementSibling.before(shot);
    changed(`${shots().indexOf(shot) + 1} / ${shots().length}`);
    button.focus();
  } else if (edit === "down" && shot.nextElementSibling) {
    shot.nextElementSibling.after(shot);
    changed(`${shots().indexOf(shot) + 1} / ${shots().length}`);
    button.focus();
  }
});

form.addEventListener("input", (event) => {
  changed("");
  const shot = event.target.closest("[data-shot]");
  if (!shot) return;
  shot.querySelector("[data-changed]").hidden = false;
  shot.querySelector("img")?.classList.add("old");
});

// Drag by the handle only: a text in a draggable field could not be selected.
let dragged = null;
list.addEventListener("pointerdown", (event) => {
  const handle = event.target.closest("[data-handle]");
  if (handle) handle.closest("[data-shot]").draggable = true;
});
list.addEventListener("pointerup", () => {
  for (const shot of shots()) shot.draggable = false;
});
list.addEventListener("dragstart", (event) => {
  dragged = event.target.closest("[data-shot]");
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", "");
});
list.addEventListener("dragover", (event) => {
  if (!dragged) return;
  event.preventDefault();
  const over = event.target.closest("[data-shot]");
  if (!over || over === dragged) return;
  const box = over.getBoundingClientRect();
  if (event.clientY < box.top + box.height / 2) over.before(dragged);
  else over.after(dragged);
});
list.addEventListener("drop", (event) => event.preventDefault());
list.addEventListener("dragend", () => {
  if (!dragged) return;
  dragged.draggable = false;
  changed(`${shots().indexOf(dragged) + 1} / ${shots().length}`);
  dragged = null;
});
