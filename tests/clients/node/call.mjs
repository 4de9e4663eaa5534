import { OpenAIRealtimeWebRTC, OpenAIRealtimeWebSocket } from '@openai/agents-realtime';
import { Ear } from './ear.mjs';
import { ask, ending, hears, STORY } from './scenarios.mjs';
import { Talk } from './talk.mjs';

/** A conversation over WebRTC: its microphone is the browser's. `score` is all that the data channel carried. */
export class Call extends Talk {
  score = [];

  constructor(options, settings) {
    const audioElement = document.createElement('audio');
    super(new OpenAIRealtimeWebRTC({ ...options, audioElement }), { recordings: {}, ...settings });
    this.ear = new Ear(audioElement, () => this.notice());
    this.transport.on('connection_change', (status) => {
      if (status === 'connecting') this.#overhear(this.transport.connectionState.dataChannel);
    });
  }

  /** Opens a second line into this call, over a WebSocket. What it asks for is part of the score. */
  async join() {
    const { callId, options } = this.transport;
    const side = new Talk(new OpenAIRealtimeWebSocket({ useInsecureApiKey: true }), { recordings: {} });
    side.transport.on('connection_change', (status) => {
      if (status === 'connecting') this.#follow(side.transport.connectionState.websocket);
    });
    const url = `${options.baseUrl.replace('http', 'ws').replace('/calls', '')}?call_id=${callId}`;
    await side.session.connect({ apiKey: 'none', url });
    return side;
  }

  report() {
    return { ...super.report(), score: this.score };
  }

  close() {
    this.ear.close();
    super.close();
  }

  #overhear(channel) {
    this.#follow(channel);
    channel.addEventListener('message', ({ data }) => this.score.push(['server', read(data)]));
  }

  #follow(channel) {
    const send = channel.send.bind(channel);
    channel.send = (text) => {
      this.score.push(['client', read(text)]);
      send(text);
    };
  }
}

/** Returns the event in a frame; what is none is written down as an event without a type. */
function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

export const settings = {
  asked: { config: hears('Answer in three words.') },
  barged: { config: hears('Tell me a story.') },
};

/** What is tried over WebRTC alone. */
export const scenarios = { played, asked, hushed, barged, joined };

async function played(call) {
  const { callId, status } = call.transport;
  await ask(call, 'Say exactly good morning.');
  await call.heard('output_audio_buffer.stopped');
  call.step('played', { callId, status, peak: call.ear.peak, history: call.history });
}

/** The microphone hears a question. */
async function asked(call) {
  await call.heard('response.done');
  await call.heard('output_audio_buffer.stopped');
  await call.until(() => call.history[0]?.text);
  call.step('answered', { peak: call.ear.peak, history: call.history });
}

async function hushed(call) {
  call.session.sendMessage(STORY);
  await call.heard('output_audio_buffer.started');
  await call.until(() => call.ear.peak > 0.05);
  call.session.interrupt();
  const [done] = await call.heard('response.done');
  await call.heard('output_audio_buffer.cleared');
  const [{ audio_end_ms }] = await call.heard('conversation.item.truncated');
  await call.heard('conversation.item.retrieved');
  await call.until(() => call.ear.silence > 500);
  call.step('hushed', { ...ending(done), audio_end_ms, history: call.history });
  await ask(call, 'Say exactly thank you.');
}

/** The microphone hears a question, and another one while the first is answered. */
async function barged(call) {
  await call.heard('output_audio_buffer.started');
  const [done] = await call.heard('response.done');
  await call.heard('output_audio_buffer.cleared');
  const [{ audio_end_ms }] = await call.heard('conversation.item.truncated');
  await call.heard('conversation.item.retrieved', { times: 2 });
  await call.heard('output_audio_buffer.started', { times: 2 });
  call.step('interrupted', { ...ending(done), audio_end_ms, history: call.history });
}

/** Somebody on a second line into the call sees what goes on, and steers. */
async function joined(call) {
  const side = await call.join();
  side.session.sendMessage('Say exactly good morning.');
  await Promise.all([call, side].map((each) => each.heard('output_audio_buffer.stopped')));
  call.step('joined', { here: call.history, there: side.history, ...side.report() });
  side.close();
  await ask(call, 'Say exactly thank you.');
}
