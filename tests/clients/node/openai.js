// The `openai` package for Node.

import OpenAI from 'openai';
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';

import { failed, memoized, work } from './talk.js';

const City = z.object({ name: z.string(), people: z.number().int() });

const parameters = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
};
const temperature = {
  name: 'temperature',
  description: 'The temperature in a city, in degrees Celsius.',
  parameters,
  strict: true,
};

const client = memoized((task) => new OpenAI({ baseURL: task.base_url, apiKey: task.api_key }));
const messages = (task) => [{ role: 'user', content: task.prompt }];
const chatSaid = (answer, more = {}) => ({
  text: answer.choices[0].message.content,
  input_tokens: answer.usage.prompt_tokens,
  output_tokens: answer.usage.completion_tokens,
  ...more,
});
const responseSaid = (answer, more = {}) => ({
  text: answer.output_text,
  input_tokens: answer.usage.input_tokens,
  output_tokens: answer.usage.output_tokens,
  ...more,
});

async function plain(task) {
  return chatSaid(await client(task).chat.completions.create({ model: task.model, messages: messages(task) }));
}

async function stream(task) {
  const chunks = await client(task).chat.completions.create({
    model: task.model,
    messages: messages(task),
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = '';
  let usage;
  for await (const chunk of chunks) {
    text += chunk.choices[0]?.delta?.content ?? '';
    usage = chunk.usage ?? usage;
  }
  return { text, input_tokens: usage.prompt_tokens, output_tokens: usage.completion_tokens };
}

/** The package's own loop: call, function, call. */
async function tools(task) {
  const seen = [];
  const runner = client(task).chat.completions.runTools({
    model: task.model,
    messages: messages(task),
    tools: [
      {
        type: 'function',
        function: {
          ...temperature,
          parse: JSON.parse,
          function: (args) => {
            seen.push({ name: 'temperature', arguments: args });
            return '21';
          },
        },
      },
    ],
  });
  const text = await runner.finalContent();
  const usage = await runner.totalUsage();
  return { text, input_tokens: usage.prompt_tokens, output_tokens: usage.completion_tokens, tool: seen[0] };
}

async function structured(task) {
  const answer = await client(task).chat.completions.parse({
    model: task.model,
    messages: messages(task),
    response_format: zodResponseFormat(City, 'city'),
  });
  return chatSaid(answer, { data: answer.choices[0].message.parsed });
}

async function responses(task) {
  return responseSaid(await client(task).responses.create({ model: task.model, input: task.prompt }));
}

async function responses_stream(task) {
  const events = client(task).responses.stream({ model: task.model, input: task.prompt });
  let text = '';
  for await (const event of events) {
    if (event.type === 'response.output_text.delta') text += event.delta;
  }
  return responseSaid(await events.finalResponse(), { text });
}

async function responses_structured(task) {
  const answer = await client(task).responses.parse({
    model: task.model,
    input: task.prompt,
    text: { format: zodTextFormat(City, 'city') },
  });
  return responseSaid(answer, { data: answer.output_parsed });
}

/** The package asks for base64 by itself, and makes numbers of it. */
async function embeddings(task) {
  const answer = await client(task).embeddings.create({
    model: task.embedding_model,
    input: [task.prompt, 'and this'],
  });
  return {
    text: null,
    input_tokens: answer.usage.prompt_tokens,
    output_tokens: 0,
    vectors: answer.data.map((item) => [...item.embedding]),
  };
}

async function models(task) {
  const found = [];
  for await (const model of client(task).models.list()) found.push(model.id);
  return { models: found };
}

await work(
  {
    plain,
    stream,
    tools,
    structured,
    responses,
    responses_stream,
    responses_structured,
    embeddings,
    models,
  },
  (error) => (error instanceof OpenAI.APIError ? failed(error, error.status, error.code) : null),
);
