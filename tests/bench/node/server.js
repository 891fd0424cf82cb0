// What a careful person would build with Node: Fastify verifies the signature over the raw body, runs the handler in an
// isolate (isolated-vm) of its own, looks the selectors up among the subscriptions, and answers when a group commit
// (one write, one fdatasync for all that wait) has the request and its events on the disk.
//
// usage: node server.js FILE SECRET SUBSCRIPTIONS; prints its port.
import { createHmac, timingSafeEqual } from "node:crypto";
import fs from "node:fs";
import Fastify from "fastify";
import ivm from "isolated-vm";

const [file, secret, subscriptions] = process.argv.slice(2);
const fd = fs.openSync(file, "a");

const index = new Map();
for (let i = 0; i < Number(subscriptions); i++) index.set(`push/org${i}/repository${i}`, i);

const isolate = new ivm.Isolate({ memoryLimit: 256 });
const context = isolate.createContextSync();
const handle = context.evalSync(`
	function handle({ data, headers }) {
		const repository = data.repository.full_name;
		return { events: [
			{ selector: "push/" + repository, payload: data },
			{ selector: "ref/" + data.ref, payload: { head: data.after, repository } },
		] };
	}
	(body, headers) => JSON.stringify(handle({ data: JSON.parse(body), headers }))`, { reference: true });
const options = { arguments: { copy: true }, result: { copy: true }, timeout: 1000 };

// The group commit: while one write is being synced, further ones wait together for the next.
let waiting = [], busy = false;
function append(parts) {
	return new Promise((resolve, reject) => {
		waiting.push({ parts, resolve, reject });
		if (!busy) flush();
	});
}
function flush() {
	busy = true;
	const group = waiting;
	waiting = [];
	const done = error => {
		for (const w of group) error ? w.reject(error) : w.resolve();
		if (waiting.length) flush();
		else busy = false;
	};
	fs.writev(fd, group.flatMap(w => w.parts), error => error ? done(error) : fs.fdatasync(fd, done));
}

const app = Fastify({ logger: false, bodyLimit: 10 << 20 });
app.removeAllContentTypeParsers();
app.addContentTypeParser("*", { parseAs: "buffer" }, (_, body, done) => done(null, body));
app.post("/hook", async (request, reply) => {
	const expected = createHmac("sha256", secret).update(request.body).digest();
	const given = Buffer.from(String(request.headers["x-hub-signature-256"]).slice(7), "hex");
	if (given.length !== expected.length || !timingSafeEqual(given, expected)) return reply.code(401).send();
	const result = handle.applySync(undefined, [request.body.toString(), { ...request.headers }], options);
	const matched = JSON.parse(result).events.filter(e => index.has(e.selector));
	await append([request.body, Buffer.from(result + "\n" + matched.length + "\n")]);
	return reply.code(200).send();
});
await app.listen({ port: 0, host: "127.0.0.1" });
console.log(app.server.address().port);
