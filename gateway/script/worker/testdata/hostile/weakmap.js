// a WeakMap that keeps a chain alive
export default function handle(input) {
  const w = new WeakMap()
  let k = {}
  const l = [k]
  for (;;) { const n = { v: 'x'.repeat(1000) }; w.set(k, n); l.push(k = n) }
}
