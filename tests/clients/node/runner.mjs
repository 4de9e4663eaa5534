/** node SCRIPT URL RECORDINGS SCENARIO... */
import { readdirSync, readFileSync } from 'node:fs';
import { held } from './held.mjs';

/** Holds the scenarios all at once, each a conversation that `open` begins; writes a line of JSON for each. */
export async function run(scenarios, open) {
  const [url, folder, ...names] = process.argv.slice(2);
  const recordings = Object.fromEntries(
    readdirSync(folder).map((name) => [name, new Uint8Array(readFileSync(`${folder}/${name}`))]),
  );
  const hold = async (name) => {
    const report = await held(scenarios[name], () => open(name, url, recordings));
    process.stdout.write(`${JSON.stringify({ scenario: name, ...report })}\n`);
  };
  await Promise.all(names.map(hold));
}
