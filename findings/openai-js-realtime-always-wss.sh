#!/usr/bin/env bash
# The JavaScript openai package calls a Realtime server on http:// by wss://
#
# Versions: openai 6.49.0, ws 8.23.0, Node.js 20
# One expects: baseURL is obeyed: http://127.0.0.1:9/v1 becomes ws://127.0.0.1:9/v1/realtime, as in the Python package.
# What happens: the scheme is replaced by wss whatever it was, so a server without TLS, on this very machine, is
#   answered by a failing TLS handshake; every other request of the same client goes to http.
# Output seen:
#   baseURL http://127.0.0.1:9/v1 is called at wss://127.0.0.1:9/v1/realtime
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund openai@6.49.0 ws@8.23.0
cat >call.mjs <<'JS'
import assert from "node:assert";
import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

const client = new OpenAI({ apiKey: "none", baseURL: "http://127.0.0.1:9/v1" });
const call = new OpenAIRealtimeWS({ model: "any" }, client);
call.on("error", () => {});
call.socket.on("error", () => {});
const { protocol, host, pathname } = call.url;
console.log(`baseURL ${client.baseURL} is called at ${protocol}//${host}${pathname}`);
call.close();
assert.equal(protocol, "wss:");
JS
node call.mjs
