/** Holds one scenario in a conversation that `open` begins. What fails is part of the report. */
export async function held(scenario, open) {
  let talk;
  try {
    talk = await open();
    await scenario(talk);
    return talk.report();
  } catch (error) {
    return { steps: [], errors: [], ignored: [], ...talk?.report(), failure: error.stack ?? String(error) };
  } finally {
    talk?.close();
  }
}
