/** What is tried with the Agents SDK, whatever way its events travel. Each scenario is told a `Talk`, connected. */
import { RealtimeAgent, tool } from '@openai/agents-realtime';

export const STORY = 'Tell me a story.';

const weather = tool({
  name: 'get_weather',
  description: 'Tells the weather in a city.',
  parameters: {
    type: 'object',
    properties: { city: { type: 'string' } },
    required: ['city'],
    additionalProperties: false,
  },
  execute: ({ city }) => `It is sunny in ${city}.`,
});

export const hears = (words, turnDetection = { type: 'semantic_vad' }) => ({
  audio: { input: { transcription: { model: 'scripted', prompt: `Heard: ${words}` }, turnDetection } },
});

/** As the bridges to telephones do it: mu-law both ways. */
const onThePhone = (words) => {
  const { audio } = hears(words);
  const format = { type: 'audio/pcmu' };
  return { audio: { input: { ...audio.input, format }, output: { format } } };
};

const noStories = {
  name: 'No stories',
  execute: async ({ agentOutput }) => ({ tripwireTriggered: agentOutput.includes('lighthouse'), outputInfo: {} }),
};

/** How each scenario's agent is made, and how its session is configured. */
export const settings = {
  written: { config: { outputModalities: ['text'] } },
  pushed: { config: hears('Answer in three words.', null) },
  handoff: { agent: { handoffs: [new RealtimeAgent({ name: 'Bea', instructions: 'Answer in two words.' })] } },
  guardrail: { outputGuardrails: [noStories], outputGuardrailSettings: { debounceTextLength: 20 } },
  spoken: { config: hears('How old is the Brooklyn Bridge? Answer in three words.') },
  phone: { format: 'ulaw', config: onThePhone('Answer in three words.') },
  interruption: { config: hears('Say exactly enough.') },
  tool: { agent: { tools: [weather] } },
  update: { agent: { instructions: 'Be brief.', voice: 'ash' } },
};

export const scenarios = {
  ...{ update, text, written, spoken, pushed, phone: spoken, tool: call, handoff },
  ...{ interruption, cancel, guardrail, items, aside, invalid },
};

async function update(talk) {
  const [created] = await talk.heard('session.created');
  talk.step('connected', { first: talk.events[0].type, id: created.session.id });
  await talk.heard('session.updated', { times: 2 });
  talk.step('configured', { session: talk.events.findLast(({ type }) => type === 'session.updated').session });
  const since = talk.events.length;
  await talk.session.updateAgent(new RealtimeAgent({ name: 'Bea', instructions: 'Answer in one word.' }));
  const [{ session }] = await talk.heard('session.updated', { since });
  talk.step('updated', { session });
}

async function text(talk) {
  await ask(talk, 'Say exactly good morning.');
}

async function spoken(talk) {
  talk.microphone.say('brooklyn');
  await talk.heard('response.done');
  await talk.until(() => talk.history[0]?.text);
  talk.step('answered', { history: talk.history, sounded: talk.sounded });
}

async function call(talk) {
  talk.session.sendMessage('What is the weather in Paris?');
  await talk.heard('response.done', { times: 2 });
  talk.step('answered', { history: talk.history });
}

async function interruption(talk) {
  talk.session.sendMessage(STORY);
  await talk.heard('response.output_audio.delta', { times: 12 });
  let cut = false;
  talk.session.on('audio_interrupted', () => (cut = true));
  talk.microphone.say('weather');
  const done = await talk.heard('response.done', { times: 2 });
  const [{ audio_end_ms }] = await talk.heard('conversation.item.truncated');
  await talk.heard('conversation.item.retrieved', { times: 2 });
  talk.step('interrupted', { cut, audio_end_ms, ...ending(done[0]), history: talk.history });
}

async function cancel(talk) {
  talk.session.sendMessage(STORY);
  await talk.heard('response.output_audio.delta', { times: 15 });
  talk.session.interrupt();
  const [done] = await talk.heard('response.done');
  const [{ audio_end_ms }] = await talk.heard('conversation.item.truncated');
  await talk.heard('conversation.item.retrieved');
  talk.step('cancelled', { audio_end_ms, ...ending(done), history: talk.history });
  await ask(talk, 'Say exactly thank you.');
}

async function items(talk) {
  const say = (words) => talk.transport.sendMessage(words, {}, { triggerResponse: false });
  say('Remember this. My name is Ada.');
  say('Never mind.');
  await talk.until(() => talk.session.history.length === 2);
  talk.session.updateHistory(([name]) => [
    { itemId: 'before', type: 'message', role: 'system', content: [{ type: 'input_text', text: 'Be kind.' }] },
    { ...name, content: [{ type: 'input_text', text: 'Remember this. My name is Grace.' }] },
    {
      itemId: 'after',
      type: 'message',
      role: 'assistant',
      status: 'completed',
      content: [{ type: 'output_text', text: 'I will.' }],
    },
  ]);
  await talk.until(() => talk.history.at(-1)?.text === 'I will.');
  talk.step('edited', { history: talk.history });
  talk.transport.sendEvent({ type: 'conversation.item.retrieve', item_id: 'after' });
  const [{ item }] = await talk.heard('conversation.item.retrieved');
  talk.step('retrieved', { item });
  await ask(talk, 'What is my name?');
}

async function invalid(talk) {
  talk.transport.sendEvent({ type: 'no.such.event', event_id: 'mine' });
  talk.transport.sendEvent({ type: 'conversation.item.retrieve', item_id: 'nobody', event_id: 'yours' });
  const { websocket, dataChannel } = talk.transport.connectionState;
  (websocket ?? dataChannel).send('{"type": ');
  await talk.until(() => talk.errors.length === 3);
  talk.step('refused', { errors: talk.errors.splice(0) });
  await ask(talk, 'Say exactly we go on.');
}

async function written(talk) {
  await ask(talk, 'Say exactly good morning.');
  talk.step('silent', talk.sounded);
}

/** Push to talk: no turn detection, the client says when a turn is over. */
async function pushed(talk) {
  talk.session.sendAudio(talk.recordings['brooklyn.pcm'].slice().buffer, { commit: true });
  talk.transport.requestResponse();
  await talk.heard('response.done');
  await talk.until(() => talk.history[0]?.text);
  talk.step('answered', { history: talk.history });
}

async function handoff(talk) {
  talk.session.sendMessage('Please transfer to Bea.');
  await talk.heard('response.done', { times: 2 });
  talk.step('handed over', { agent: talk.session.currentAgent.name, history: talk.history });
}

async function guardrail(talk) {
  talk.session.sendMessage(STORY);
  const [first] = await talk.heard('response.done');
  await talk.heard('response.created', { times: 2 });
  talk.step('stopped', { ...ending(first), history: talk.history });
}

/** An answer beside the conversation, and then one in it. */
async function aside(talk) {
  talk.transport.requestResponse({
    conversation: 'none',
    output_modalities: ['text'],
    metadata: { topic: 'title' },
    input: [{ type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Say exactly good evening.' }] }],
  });
  const [{ response }] = await talk.heard('response.done');
  talk.step('aside', { response });
  await ask(talk, 'Say exactly good morning.');
}

export async function ask(talk, words) {
  const since = talk.events.length;
  talk.session.sendMessage(words);
  const [done] = await talk.heard('response.done', { since });
  talk.step('answered', { ...ending(done), history: talk.history, usage: talk.session.usage.totalTokens });
}

export function ending({ response: { status, status_details: details } }) {
  return { status, reason: details?.reason };
}
