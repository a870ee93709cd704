// The set-up token travels behind '#', which browsers do not send to servers or write to their logs.
const token = new URLSearchParams(location.hash.slice(1)).get("token");
const message = document.getElementById("message");
const form = document.getElementById("form");

function complain(text) {
  message.className = "problem";
  message.textContent = text;
}

if (!token) {
  form.hidden = true;
  complain("This page needs the one-time link that the server printed when it started.");
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  message.textContent = "";
  const body = { token, take_this_machine: true };
  for (const name of ["username", "email", "password", "organization"]) body[name] = form.elements[name].value;
  let reply;
  try {
    reply = await fetch("/api/v1/setup", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    return complain("The server does not answer.");
  }
  const answer = await reply.json();
  if (!reply.ok) {
    const fields = (answer.errors || []).map((e) => e.message).join(" ");
    return complain(fields || answer.detail);
  }
  form.hidden = true;
  history.replaceState(null, "", location.pathname);
  document.getElementById("server").textContent = location.origin;
  document.getElementById("who").textContent = body.username;
  document.getElementById("next").hidden = false;
});
