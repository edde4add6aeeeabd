// Times come in UTC, and are shown as the reader's own clock has them.
const day = { dateStyle: "medium" };
const minute = { dateStyle: "medium", timeStyle: "short" };
const second = { dateStyle: "medium", timeStyle: "medium" };

export function localise(part) {
  for (const time of part.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!time.dateTime.includes("T") || Number.isNaN(at.valueOf())) continue; // a day is a day in every zone
    time.title = time.textContent.trim();
    time.textContent = new Intl.DateTimeFormat(undefined, formOf(time)).format(at);
  }
}

function formOf(time) {
  if ("day" in time.dataset) return day;
  return "second" in time.dataset ? second : minute;
}

localise(document);
