// A recording that somebody sends instead of speaking: any file that the server can decode.

const MAX_MB = 15;
const MPEG = [0xff, 0xe0]; // the first eleven bits of a frame of MP3 or AAC
const TAG = [0x49, 0x44, 0x33, 4, 0, 0, 0, 0, 0, 0]; // an empty ID3: without one, frames could be bare samples

/** Why a file cannot be sent, in words for people. */
export class UploadError extends Error {}

/**
 * Read a file as base64. Throws `UploadError`.
 * @param {File} file
 */
export async function readRecording(file) {
  if (file.size > MAX_MB * 1024 * 1024) throw new UploadError(`“${file.name}” is larger than ${MAX_MB} MB.`);
  if (file.size === 0) throw new UploadError(`“${file.name}” is empty.`);
  if (/^(image|text|application\/(pdf|zip|json))/.test(file.type)) throw new UploadError(`“${file.name}” is no recording.`);
  const [first = 0, second = 0] = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  const isBare = first === MPEG[0] && (second & 0xe0) === MPEG[1];
  return base64(isBare ? new Blob([new Uint8Array(TAG), file]) : file);
}

/**
 * @param {Blob} blob
 * @returns {Promise<string>}
 */
function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ""));
    reader.onerror = () => reject(new UploadError("This file cannot be read."));
    reader.readAsDataURL(blob);
  });
}
