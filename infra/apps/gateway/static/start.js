// Help while a brief is written; without this script the form works the same.
const form = document.querySelector("form[data-forecast]");
const place = form.querySelector(".forecast");
const file = form.querySelector("input[type=file]");
let waiting = 0;
let asked = 0;

// What it would be made with, how long that takes and what it costs.
async function forecast() {
  if (!form.elements.prompt.value.trim()) {
    place.hidden = true;
    return;
  }
  const data = new FormData(form);
  data.delete("upload");
  const number = ++asked;
  const answer = await fetch(form.dataset.forecast, { method: "POST", body: data });
  if (!answer.ok || number !== asked) return;
  const found = new DOMParser().parseFromString(await answer.text(), "text/html");
  place.replaceChildren(...found.body.childNodes);
  place.hidden = false;
}

form.addEventListener("input", (event) => {
  if (event.target === file) return;
  clearTimeout(waiting);
  waiting = setTimeout(forecast, 600);
});

for (const button of form.querySelectorAll("[data-example]")) {
  button.addEventListener("click", () => {
    form.elements.prompt.value = button.dataset.example;
    form.elements.prompt.dispatchEvent(new Event("input", { bubbles: true }));
  });
}

for (const button of form.querySelectorAll("[data-clear]")) {
  button.addEventListener("click", () => {
    form.elements[button.dataset.clear].value = "";
    button.closest(".kept").remove();
  });
}

// A picture can be dropped anywhere on the form.
form.addEventListener("dragover", (event) => {
  if (event.dataTransfer.types.includes("Files")) event.preventDefault();
});
form.addEventListener("drop", (event) => {
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  file.files = event.dataTransfer.files;
});
