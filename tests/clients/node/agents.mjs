/** OpenAI's Agents SDK in Node, over a WebSocket. */
import { OpenAIRealtimeWebSocket } from '@openai/agents-realtime';
import { run } from './runner.mjs';
import { scenarios, settings } from './scenarios.mjs';
import { Talk } from './talk.mjs';

await run(scenarios, async (name, url, recordings) => {
  const talk = new Talk(new OpenAIRealtimeWebSocket(), { recordings, ...settings[name] });
  await talk.session.connect({ apiKey: 'none', url: `${url}?model=vivavoce&scenario=${name}` });
  return talk;
});
