// A task a line comes in, and a line goes out with what the client saw: the same as programs/talk.py.

import { createInterface } from 'node:readline';

console.log = console.info = console.warn = console.error; // what a library prints must not get in between

export const failed = (error, status, code) => ({
  error: { class: error.constructor.name, status: status ?? null, code: code ?? null },
});

/** Do what is asked until the input ends. `told` reads the errors that the client is meant to throw. */
export async function work(scenarios, told) {
  for await (const line of createInterface({ input: process.stdin })) {
    const task = JSON.parse(line);
    let answer;
    try {
      answer = await scenarios[task.scenario](task);
    } catch (error) {
      answer = told(error) ?? { crash: error.stack };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

export function memoized(make) {
  const made = new Map();
  return (task) => {
    const name = `${task.base_url} ${task.api_key}`;
    if (!made.has(name)) made.set(name, make(task));
    return made.get(name);
  };
}
