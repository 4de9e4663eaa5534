/** Record until `stop` is called: `const { recording, stop } = await record();` */
async function record() {
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  const recorder = new MediaRecorder(microphone);
  const parts = [];
  recorder.ondataavailable = (event) => parts.push(event.data);
  const recording = new Promise((resolve) => {
    recorder.onstop = () => resolve(new Blob(parts, { type: recorder.mimeType }));
  });
  recorder.start();
  const stop = () => {
    recorder.stop();
    microphone.getTracks().forEach((track) => track.stop());
  };
  return { recording, stop };
}

/** Send a recording. The cookie, which the browser keeps, makes the next one go on with the conversation. */
async function ask(recording) {
  const form = new FormData();
  form.append('audio', recording);
  const response = await fetch('/voice-chat/?text=complete', { method: 'POST', body: form });
  if (!response.ok) throw new Error((await response.json()).error.message);
  const words = (name) => decodeURIComponent(response.headers.get(name));
  return { question: words('X-Transcript'), answer: words('X-AI-Response'), sound: await response.blob() };
}

/** Play an answer, with controls to play it again, faster or slower, and a link to download it. */
function show({ sound, answer }) {
  const player = new Audio(URL.createObjectURL(sound));
  player.controls = true;
  player.title = answer;
  const link = document.createElement('a');
  Object.assign(link, { href: player.src, download: 'answer.mp3', textContent: 'Download' });
  document.body.append(player, link);
  return player.play();
}
