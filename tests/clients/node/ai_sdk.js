// Vercel's AI SDK, with the provider that is named on the command line: `openai` or `openai-compatible`.

import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, embedMany, generateText, isStepCount, Output, RetryError, streamText, tool } from 'ai';
import { z } from 'zod';

import { failed, memoized, work } from './talk.js';

const City = z.object({ name: z.string(), people: z.number().int() });

/** The AI SDK tries every 429 again, whatever else the answer says. This makes a "no" of the server's be heard. */
async function heeding(...request) {
  const response = await fetch(...request);
  if (response.headers.get('x-should-retry') !== 'false') return response;
  return new Response(response.body, { status: 402, headers: response.headers });
}

const makers = {
  openai: createOpenAI,
  'openai-compatible': (settings) =>
    createOpenAICompatible({ name: 'farebox', includeUsage: true, supportsStructuredOutputs: true, ...settings }),
};
const make = makers[process.argv[2]];
const provider = memoized((task) => make({ baseURL: task.base_url, apiKey: task.api_key }));
const heedingProvider = memoized((task) => make({ baseURL: task.base_url, apiKey: task.api_key, fetch: heeding }));

const chat = (task, from = provider) => {
  const { chat, chatModel } = from(task);
  return (chat ?? chatModel)(task.model);
};
const responsesModel = (task) => provider(task).responses(task.model);

const said = (text, usage, more = {}) => ({
  text,
  input_tokens: usage.inputTokens,
  output_tokens: usage.outputTokens,
  ...more,
});

async function generated(task, model) {
  const { text, usage } = await generateText({ model, prompt: task.prompt });
  return said(text, usage);
}

async function streamed(task, model) {
  const result = streamText({ model, prompt: task.prompt, onError: () => {} });
  let text = '';
  for await (const part of result.stream) {
    if (part.type === 'text-delta') text += part.text;
    if (part.type === 'error') throw part.error;
  }
  return said(text, await result.usage);
}

async function tools(task) {
  const seen = [];
  const temperature = tool({
    description: 'The temperature in a city, in degrees Celsius.',
    inputSchema: z.object({ city: z.string() }),
    execute: (input) => {
      seen.push({ name: 'temperature', arguments: input });
      return 21;
    },
  });
  const { text, usage } = await generateText({
    model: chat(task),
    prompt: task.prompt,
    tools: { temperature },
    stopWhen: isStepCount(3),
  });
  return said(text, usage, { tool: seen[0] });
}

async function structured(task, model = chat(task)) {
  const { output, text, usage } = await generateText({
    model,
    prompt: task.prompt,
    output: Output.object({ schema: City }),
  });
  return said(text, usage, { data: output });
}

async function embeddings(task) {
  const model = provider(task).embeddingModel(task.embedding_model);
  const { embeddings, usage } = await embedMany({ model, values: [task.prompt, 'and this'] });
  return { text: null, input_tokens: usage.tokens, output_tokens: 0, vectors: embeddings };
}

await work(
  {
    plain: (task) => generated(task, chat(task)),
    plain_heeding: (task) => generated(task, chat(task, heedingProvider)),
    stream: (task) => streamed(task, chat(task)),
    stream_heeding: (task) => streamed(task, chat(task, heedingProvider)),
    tools,
    structured,
    responses: (task) => generated(task, responsesModel(task)),
    responses_stream: (task) => streamed(task, responsesModel(task)),
    responses_structured: (task) => structured(task, responsesModel(task)),
    embeddings,
  },
  (error) => {
    const last = RetryError.isInstance(error) ? error.lastError : error;
    return APICallError.isInstance(last) ? failed(error, last.statusCode, last.data?.error?.code) : null;
  },
);
