// What browsers have and TypeScript's library lacks.

declare class AudioWorkletProcessor {
  readonly port: MessagePort;
  process(inputs: Float32Array[][], outputs: Float32Array[][]): boolean;
}
declare const sampleRate: number;
declare function registerProcessor(name: string, processor: new () => AudioWorkletProcessor): void;

interface Navigator {
  readonly audioSession?: { type: "auto" | "playback" | "play-and-record" };
}
