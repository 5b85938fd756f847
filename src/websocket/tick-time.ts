let time = 0;

/** `performance.now()`, asked once for all that happens before the event loop goes on: for what is done for each message. */
export function tickTime(): number {
  if (time === 0) {
    time = performance.now();
    queueMicrotask(forget);
  }
  return time;
}

function forget(): void {
  time = 0;
}
