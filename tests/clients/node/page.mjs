/** OpenAI's Agents SDK in a browser, over a WebSocket or WebRTC. A test calls `run`. */
import { OpenAIRealtimeWebSocket } from '@openai/agents-realtime';
import * as calls from './call.mjs';
import { held } from './held.mjs';
import { scenarios, settings } from './scenarios.mjs';
import { Talk } from './talk.mjs';

const names = ['brooklyn.pcm', 'weather.pcm'];
const recordings = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await fetched(name)])));

const open = {
  async websocket(name, { url, apiKey, insecure }) {
    const talk = new Talk(new OpenAIRealtimeWebSocket({ useInsecureApiKey: insecure }), {
      recordings,
      ...settings[name],
    });
    await talk.session.connect({ apiKey, url: `${url}?model=vivavoce&scenario=${name}` });
    return talk;
  },
  async webrtc(name, { url, apiKey, insecure }) {
    const given = { ...settings, ...calls.settings }[name];
    const call = new calls.Call({ baseUrl: url, useInsecureApiKey: insecure }, given);
    await call.session.connect({ apiKey });
    return call;
  },
};

/** Holds scenarios, all at once, and returns what came of each. */
window.run = async (way, wanted, how) => {
  const all = { ...scenarios, ...calls.scenarios };
  const reports = wanted.map(async (name) => [name, await held(all[name], () => open[way](name, how))]);
  return Object.fromEntries(await Promise.all(reports));
};

async function fetched(name) {
  return new Uint8Array(await (await fetch(`/${name}`)).arrayBuffer());
}
