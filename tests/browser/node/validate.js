// A page a line comes in, as a JSON string, and a line goes out with all that is wrong with its HTML.

import { createInterface } from 'node:readline';
import { HtmlValidate, StaticConfigLoader } from 'html-validate';

const validator = new HtmlValidate(
  new StaticConfigLoader({
    root: true,
    extends: ['html-validate:recommended'],
    rules: {
      'no-trailing-whitespace': 'off', // of no meaning in HTML, and templates leave some
      'long-title': 'off', // a product's name may be long
      'form-dup-name': ['error', { shared: ['radio', 'checkbox', 'submit', 'button', 'reset'] }], // a list of boxes
      'no-inline-style': 'error',
      'form-dup-name': ['error', { shared: ['radio', 'checkbox', 'button', 'reset', 'submit'] }], // several of a list
      'void-style': ['error', { style: 'omit' }],
    },
  }),
);

for await (const line of createInterface({ input: process.stdin })) {
  const report = await validator.validateString(JSON.parse(line));
  const found = report.results.flatMap((result) => result.messages);
  process.stdout.write(`${JSON.stringify(found.map((one) => `line ${one.line}: ${one.message} (${one.ruleId})`))}\n`);
}
