// Runs in Node and in goja alike: evaluates snippets and describes their results as JSON.
(function () {
  const views = ["Uint8Array", "Uint8ClampedArray", "Int8Array", "Uint16Array", "Int16Array", "Uint32Array", "Int32Array", "Float32Array", "Float64Array", "BigInt64Array", "BigUint64Array"];
  function text(s) {
    for (let i = 0; i < s.length; i++) {
      const c = s.charCodeAt(i);
      if (c >= 0xd800 && c < 0xe000) return { units: s.split("").map(x => x.charCodeAt(0)) };
    }
    return s;
  }
  function show(v, depth) {
    if (depth > 20) return "...";
    switch (typeof v) {
      case "undefined": return { undefined: true };
      case "number": return Number.isFinite(v) && !Object.is(v, -0) ? v : { number: Object.is(v, -0) ? "-0" : String(v) };
      case "bigint": return { bigint: String(v) };
      case "symbol": return { symbol: String(v) };
      case "function": return { function: v.name };
      case "string": return text(v);
      case "boolean": return v;
    }
    if (v === null) return null;
    if (Buffer.isBuffer(v)) return { Buffer: v.toString("hex") };
    for (const name of views) if (v instanceof globalThis[name]) return { [name]: Array.from(v, x => show(x, depth + 1)) };
    if (v instanceof ArrayBuffer) return { ArrayBuffer: Array.from(new Uint8Array(v)) };
    if (v instanceof DataView) return { DataView: [v.byteOffset, v.byteLength] };
    if (v instanceof Date) return { Date: String(v.getTime()) };
    if (v instanceof RegExp) return { RegExp: String(v) };
    if (v instanceof Map) return { Map: Array.from(v, e => [show(e[0], depth + 1), show(e[1], depth + 1)]) };
    if (v instanceof Set) return { Set: Array.from(v, e => show(e, depth + 1)) };
    if (v instanceof Error) return { Error: error(v) };
    if (v instanceof URL) return { URL: v.href };
    if (v instanceof URLSearchParams) return { URLSearchParams: v.toString() };
    if (Array.isArray(v)) {
      const out = [];
      for (let i = 0; i < v.length; i++) out.push(i in v ? show(v[i], depth + 1) : { hole: true });
      return out;
    }
    const out = {};
    for (const k of Object.keys(v).sort()) out[k] = show(v[k], depth + 1);
    return { object: out };
  }
  function error(e) {
    const out = { name: String(e.name), message: String(e.message) };
    if (e.code !== undefined) out.code = e.code;
    return out;
  }
  return function run(source, K, crypto, require) {
    let value;
    try {
      const body = /\breturn\b/.test(source) ? source : "return (" + source + ")";
      value = new Function("K", "crypto", "require", body)(K, crypto, require);
    } catch (e) {
      if (e === null || typeof e !== "object") return JSON.stringify({ thrown: show(e, 0) });
      return JSON.stringify({ throws: error(e) });
    }
    try {
      return JSON.stringify({ value: show(value, 0) });
    } catch (e) {
      return JSON.stringify({ unshown: String(e) });
    }
  };
})()
