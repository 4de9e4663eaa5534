/** The TypeScript edition of OpenAI's reference client, which speaks the beta dialect. */
import { RealtimeClient } from 'openai-realtime-api';
import { Diary } from './diary.mjs';
import { Microphone } from './microphone.mjs';
import { run } from './runner.mjs';

const STORY = 'Tell me a story.';

const weather = {
  name: 'get_weather',
  description: 'Tells the weather in a city.',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};

const hears = (words) => ({ input_audio_transcription: { model: 'scripted', prompt: `Heard: ${words}` } });

const settings = {
  written: { modalities: ['text'] },
  spoken: { ...hears('Answer in three words.'), turn_detection: { type: 'server_vad' } },
  interruption: { ...hears('Say exactly enough.'), turn_detection: { type: 'server_vad' } },
  pushed: hears('Answer in three words.'),
};

class Talk extends Diary {
  constructor(name, url, recordings) {
    super();
    this.recordings = recordings;
    this.client = new RealtimeClient({
      url: `${url}?scenario=${name}`,
      apiKey: 'none',
      sessionConfig: settings[name],
    });
    this.microphone = new Microphone(recordings, (sound) => this.client.appendInputAudio(pcm(sound)));
    this.client.realtime.on('server.error', ({ error }) => this.errors.push(error));
    this.client.realtime.on('server.*', (event) => {
      this.events.push(event);
      this.notice();
    });
    this.client.realtime.on('close', () => this.microphone.close());
    this.#watch();
  }

  /** What has been said, as the client keeps it. */
  get items() {
    return this.client.conversation.getItems().map(({ id, role, type, status, formatted }) => ({
      ...{ id, role, type, status, text: formatted.text, transcript: formatted.transcript },
      ...{ tool: formatted.tool, output: formatted.output, samples: formatted.audio.length },
    }));
  }

  close() {
    this.microphone.close();
    this.client.disconnect();
  }

  /** The client swallows what it cannot use, unless somebody debugs it. */
  #watch() {
    const { conversation } = this.client;
    conversation.debug = true;
    const process = conversation.processEvent.bind(conversation);
    conversation.processEvent = (event, ...rest) => {
      const { error } = console;
      console.error = (_, message) => this.ignored.add({ ...event, message });
      try {
        return process(event, ...rest);
      } finally {
        console.error = error;
      }
    };
  }
}

const scenarios = { update, text, written, spoken, pushed, tool, interruption, cancel, items, invalid };

async function update(talk) {
  await talk.client.waitForSessionCreated();
  await talk.heard('session.updated');
  talk.client.updateSession({ instructions: 'Answer in one word.', voice: 'ash' });
  const [before, after] = await talk.heard('session.updated', { times: 2 });
  talk.step('updated', { first: talk.events[0], before: before.session, after: after.session });
}

async function text(talk) {
  await ask(talk, 'Say exactly good morning.');
}

async function written(talk) {
  await ask(talk, 'Say exactly good morning.');
}

async function spoken(talk) {
  talk.microphone.say('brooklyn');
  await talk.heard('response.done');
  await talk.until(() => talk.items[0].transcript);
  talk.step('answered', { items: talk.items });
}

/** Push to talk, which this client does unless told otherwise. */
async function pushed(talk) {
  talk.client.appendInputAudio(pcm(talk.recordings['brooklyn.pcm']));
  talk.client.createResponse();
  await talk.heard('response.done');
  await talk.until(() => talk.items[0].transcript);
  talk.step('answered', { items: talk.items });
}

async function tool(talk) {
  talk.client.addTool(weather, ({ city }) => ({ sky: `blue over ${city}` }));
  talk.client.sendUserMessageContent([{ type: 'input_text', text: 'What is the weather in Paris?' }]);
  await talk.heard('response.done', { times: 2 });
  talk.step('answered', { items: talk.items });
}

async function interruption(talk) {
  talk.client.sendUserMessageContent([{ type: 'input_text', text: STORY }]);
  await talk.heard('response.audio.delta', { times: 12 });
  const story = talk.items.at(-1).id;
  talk.client.on('conversation.interrupted', () => talk.client.cancelResponse(story, 24000));
  talk.microphone.say('weather');
  const [{ response }] = await talk.heard('response.done', { times: 2 });
  const [{ audio_end_ms }] = await talk.heard('conversation.item.truncated');
  talk.step('interrupted', { response, audio_end_ms, items: talk.items });
}

async function cancel(talk) {
  talk.client.sendUserMessageContent([{ type: 'input_text', text: STORY }]);
  await talk.heard('response.audio.delta', { times: 12 });
  talk.client.cancelResponse(talk.items.at(-1).id, 12000);
  const [{ response }] = await talk.heard('response.done');
  await talk.heard('conversation.item.truncated');
  talk.step('cancelled', { response, items: talk.items });
  await ask(talk, 'Say exactly thank you.');
}

async function items(talk) {
  const put = (id, text, place = {}) =>
    talk.client.realtime.send('conversation.item.create', {
      item: { id, type: 'message', role: 'user', content: [{ type: 'input_text', text }] },
      ...place,
    });
  put('name', 'Remember this. My name is Ada.');
  put('better', 'No, remember this: my name is Grace.', { previous_item_id: 'root' });
  await talk.heard('conversation.item.created', { times: 2 });
  talk.client.deleteItem('name');
  await talk.heard('conversation.item.deleted');
  talk.step('edited', { items: talk.items });
  await ask(talk, 'What is my name?');
}

async function invalid(talk) {
  talk.client.realtime.send('no.such.event', { event_id: 'mine' });
  talk.client.realtime.send('conversation.item.delete', { event_id: 'yours', item_id: 'nobody' });
  talk.client.realtime.ws.send('{"type": ');
  await talk.until(() => talk.errors.length === 3);
  talk.step('refused', { errors: talk.errors.splice(0) });
  await ask(talk, 'Say exactly we go on.');
}

async function ask(talk, words) {
  const since = talk.events.length;
  talk.client.sendUserMessageContent([{ type: 'input_text', text: words }]);
  const [{ response }] = await talk.heard('response.done', { since });
  talk.step('answered', { response, items: talk.items });
}

function pcm(bytes) {
  return new Int16Array(bytes.slice().buffer);
}

await run(scenarios, async (...call) => {
  const talk = new Talk(...call);
  await talk.client.connect();
  return talk;
});
