// Runs all snippets on all texts: {dump, texts, snippets} in, [[result, ...], ...] by text out.
const vm = require("vm");
const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
const results = input.texts.map(text => input.snippets.map(source => {
	const context = vm.createContext({text, source, clone: null});
	context.clone = v => vm.runInContext("(" + copy + ")", context)(v, v => structuredClone(v));
	return vm.runInContext(`(${input.dump})(source, JSON.parse(text), clone)`, context);
}));
// structuredClone of the main context makes objects of that context; copy makes them anew in this one.
function copy(v, structuredClone) {
	const seen = new Map();
	const again = v => {
		if (v === null || typeof v !== "object") return v;
		if (seen.has(v)) return seen.get(v);
		const out = Array.isArray(v) ? [] : {};
		seen.set(v, out);
		for (const k of Object.keys(v)) Object.defineProperty(out, k, {value: again(v[k]), writable: true, enumerable: true, configurable: true});
		return out;
	};
	return again(structuredClone(v));
}
process.stdout.write(JSON.stringify(results));
