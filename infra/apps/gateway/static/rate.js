// Keys for the page that rates two videos. Without this script Tab, arrows and Enter do the same.
const form = document.querySelector("form.rate");
const films = [...document.querySelectorAll(".sides video")];
const choices = { KeyQ: ["preference", "left"], KeyW: ["preference", "none"], KeyE: ["preference", "right"] };
for (let digit = 1; digit <= 5; digit += 1) {
  choices[`Digit${digit}`] = ["left", `${digit}`];
  choices[`Digit${(digit + 5) % 10}`] = ["right", `${digit}`];
}

function choose(name, value) {
  const button = form.querySelector(`input[name=${name}][value="${value}"]`);
  button.checked = true;
  button.focus();
}

function playOrStop() {
  const play = films.some((film) => film.paused);
  for (const film of films) {
    if (play) { film.currentTime = 0; film.play(); } else film.pause();
  }
}

// The space bar presses a button and chooses a point that is not chosen yet.
function hasOwnUse(place) {
  return ["BUTTON", "VIDEO", "A"].includes(place.tagName) || (place.tagName === "INPUT" && !place.checked);
}

// Keys are named by their place, so that they work with a Thai keyboard, too.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (choices[event.code]) choose(...choices[event.code]);
  else if (event.code === "Space" && !hasOwnUse(event.target)) playOrStop();
  else if (event.code === "Enter" && event.target.tagName !== "A" && event.target.tagName !== "VIDEO") form.requestSubmit();
  else return;
  event.preventDefault();
});
