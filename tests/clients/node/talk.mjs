import { RealtimeAgent, RealtimeSession } from '@openai/agents-realtime';
import { Diary } from './diary.mjs';
import { Microphone } from './microphone.mjs';

const NEWS = ['transport_event', 'history_updated', 'audio_interrupted', 'error'];

/** One conversation of the Agents SDK, in Node or in a browser, whatever way its events travel. */
export class Talk extends Diary {
  sounded = { bytes: 0, peak: 0 };

  constructor(transport, { recordings, agent, format, ...options }) {
    super();
    this.transport = transport;
    this.session = new RealtimeSession(new RealtimeAgent({ name: 'Ada', ...agent }), {
      transport,
      model: 'vivavoce',
      ...options,
    });
    this.recordings = recordings;
    const send = (sound) => this.session.sendAudio(sound.slice().buffer);
    this.microphone = new Microphone(recordings, send, format);
    this.#watch();
    transport.on('*', (event) => this.events.push(event));
    transport.on('audio', ({ data }) => this.#listen(data));
    this.session.on('error', ({ error }) => this.errors.push(error?.error ?? String(error)));
    for (const news of NEWS) this.session.on(news, () => this.notice());
  }

  /** What has been said, as the SDK keeps it. */
  get history() {
    return this.session.history.map((item) =>
      item.type === 'message'
        ? { role: item.role, text: item.content.map((part) => part.text ?? part.transcript).join(' ') }
        : { type: item.type, name: item.name, arguments: item.arguments, output: item.output },
    );
  }

  close() {
    this.microphone.close();
    this.session.close();
  }

  #listen(sound) {
    this.sounded.bytes += sound.byteLength;
    if (this.microphone.format !== 'pcm') return;
    for (const sample of new Int16Array(sound)) this.sounded.peak = Math.max(this.sounded.peak, Math.abs(sample));
  }

  /**
   * The SDK says '*' for whatever comes, then the event's own name if it fits its schema. What does not fit it
   * drops without a word: that stays in `ignored`.
   */
  #watch() {
    const emit = this.transport.emit.bind(this.transport);
    let last;
    this.transport.emit = (name, ...rest) => {
      if (name === '*') this.ignored.add((last = rest[0]));
      else if (name === last?.type) this.ignored.delete(last);
      return emit(name, ...rest);
    };
  }
}
