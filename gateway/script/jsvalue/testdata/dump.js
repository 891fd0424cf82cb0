// The value of this file is a function that runs a snippet and describes what came out, and what became of data.
(function (source, data, structuredClone) {
	const known = new Map([[Object.prototype, "Object"], [Array.prototype, "Array"], [null, "null"]]);
	const text = s => {
		let out = "";
		for (let i = 0; i < s.length; i++) {
			const c = s.charCodeAt(i);
			out += c >= 32 && c < 127 && c !== 92 ? s[i] : "\\u" + c.toString(16).padStart(4, "0");
		}
		return '"' + out + '"';
	};
	const show = (v, seen) => {
		switch (typeof v) {
		case "string": return text(v);
		case "number": return Object.is(v, -0) ? "-0" : String(v);
		case "function": return "function";
		case "symbol": return "symbol " + v.toString();
		case "object": break;
		default: return String(v);
		}
		if (v === null) return "null";
		if (seen.has(v)) return "#" + seen.get(v);
		seen.set(v, seen.size);
		const proto = Object.getPrototypeOf(v);
		let out = (known.get(proto) || "other") + (Array.isArray(v) ? "[]" : "") + (Object.isExtensible(v) ? "" : "!") + "{";
		if (ArrayBuffer.isView(v)) return out + Array.prototype.join.call(v) + "}";
		for (const k of Reflect.ownKeys(v)) {
			const d = Object.getOwnPropertyDescriptor(v, k);
			out += (typeof k === "symbol" ? "symbol" : text(k)) + (d.enumerable ? "" : "-e") + (d.configurable ? "" : "-c") +
				("value" in d ? (d.writable ? "" : "-w") + ":" + show(d.value, seen) : ":get " + typeof d.get + " set " + typeof d.set) + ",";
		}
		return out + "}";
	};
	let result;
	const seen = new Map();
	try {
		result = show(new Function("data", "structuredClone", source)(data, structuredClone), seen);
	} catch (e) {
		result = "threw " + e.name;
	}
	return result + " | " + show(data, seen);
})
